import { dirname, join } from 'node:path';
import { readKernelFile, reasonOf, wordsOf, writeKernelFile } from './cgroup-files.js';
import { levelsBelow } from './layout.js';

/**
 * Hands v2 controllers down to the children of one cgroup. One by one: a refused one must not take the others with it.
 *
 * @returns what could not be enabled, as sentences
 */
export function handDown(level: string, wanted: readonly string[]): readonly string[] {
  const enabled = wordsOf(join(level, 'cgroup.subtree_control'));
  const problems: string[] = [];
  for (const controller of wanted.filter((one) => !enabled.includes(one))) {
    try {
      writeKernelFile(join(level, 'cgroup.subtree_control'), `+${controller}`);
    } catch (error) {
      problems.push(`the controller "${controller}" cannot be enabled in ${level}: ${reasonOf(error)}`);
    }
  }
  return problems;
}

/** Each level of a v1 cpuset starts empty and can give its children only what it has itself. */
export function inheritCpusets(mountPoint: string, directory: string): void {
  for (const level of levelsBelow(mountPoint, directory)) {
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (readKernelFile(join(level, file)).trim() !== '') continue;
      writeKernelFile(join(level, file), readKernelFile(join(dirname(level), file)).trim());
    }
  }
}

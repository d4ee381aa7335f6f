import { mkdirSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errnoName, readKernelFileIfPresent } from './cgroup-files.js';

/** Makes one cgroup; false when it was there. */
export function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if (errnoName(error) === 'EEXIST') return false;
    throw error;
  }
}

export function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Names of the cgroups directly below; none when this one is not there. */
export function childNames(path: string): readonly string[] {
  // A cgroup without children has two links: itself and "."; asking costs less than reading its forty files' names.
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined || status.nlink <= 2) return [];
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return [];
    throw error;
  }
}

/** The cgroup and all below it, children before parents. A container may have made cgroups of its own. */
export function treeOf(path: string): readonly string[] {
  return [...childNames(path).flatMap((name) => treeOf(join(path, name))), path];
}

/** Removes a cgroup and all below it; false while something still lives in one of them. */
export function removeTree(path: string): boolean {
  for (const directory of treeOf(path)) {
    try {
      rmdirSync(directory);
    } catch (error) {
      const name = errnoName(error);
      if (name === 'EBUSY' || name === 'ENOTEMPTY') return false;
      if (name !== 'ENOENT') throw error;
    }
  }
  return true;
}

/** Pids of the cgroup and of all below it; a process outside our pid namespace reads as 0 and is left out. */
export function processesIn(path: string): readonly number[] {
  const pids = new Set<number>();
  for (const directory of treeOf(path)) {
    for (const line of (readKernelFileIfPresent(join(directory, 'cgroup.procs')) ?? '').split('\n')) {
      const pid = Number(line);
      if (pid > 0) pids.add(pid);
    }
  }
  return [...pids].sort((a, b) => a - b);
}

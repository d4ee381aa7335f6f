import { mkdirSync, readFileSync, readdirSync, rmSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, mustRun, runCommand } from '@gantry/test-harness';
import type { Cleanup } from './cleanup.js';

const parent = '/tmp';
const prefix = 'gantry-bench-';

/** A directory on tmpfs of our own, so that no row measures a disk, and cgroups under a name of our own. */
export interface Workplace {
  readonly directory: string;
  /** Name of the peers' cgroup below each hierarchy's root. */
  readonly cgroupName: string;
}

export async function openWorkplace(cleanup: Cleanup): Promise<Workplace> {
  await sweepDead();
  const name = `${prefix}${process.pid}`;
  const directory = join(parent, name);
  mkdirSync(directory, { mode: 0o755 });
  cleanup.defer(directory, () => rmdirSync(directory));
  // Space is taken as it is filled; inodes are given without limit because an image has tens of thousands of files.
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'mode=755,nr_inodes=0,size=8g', 'gantry-bench', directory]);
  cleanup.defer(`the tmpfs on ${directory}`, async () => void (await mustRun('umount', ['-l', directory])));
  cleanup.defer(`cgroups named ${name}`, () => removeCgroups(name));
  return { directory, cgroupName: name };
}

/** A run that was killed with SIGKILL could not clean up: the next one does. */
async function sweepDead(): Promise<void> {
  for (const name of readdirSync(parent)) {
    const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : Number.NaN;
    if (!Number.isInteger(pid) || statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined) continue;
    killProcessesOf(join(parent, name));
    while ((await runCommand('umount', ['-l', join(parent, name)])).code === 0);
    rmSync(join(parent, name), { recursive: true });
    await removeCgroups(name);
  }
}

/** What a dead run left running has its directory among its words. */
function killProcessesOf(directory: string): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${directory}/`))
        process.kill(Number(pid), 'SIGKILL');
    } catch {
      // gone already
    }
  }
}

/** Removes cgroups that the peers made, when their processes have left them. */
async function removeCgroups(name: string): Promise<void> {
  const root = '/sys/fs/cgroup';
  const tops = [root, ...childrenOf(root)].map((hierarchy) => join(hierarchy, name));
  await eventually(`cgroups ${name} are gone`, () => tops.filter(isDirectory).every(removeDeep), 10_000);
}

function removeDeep(cgroup: string): boolean {
  const gone = childrenOf(cgroup).map(removeDeep).every(Boolean);
  try {
    if (gone) rmdirSync(cgroup);
    return gone;
  } catch {
    return false;
  }
}

function childrenOf(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(directory, name));
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { errnoName, isAbsence, readKernelFileIfPresent, writeKernelFile } from './cgroup-files.js';
import { isDirectory, processesIn, removeTree } from './directories.js';
import { freezerOf } from './freezing.js';
import { nativeCgroup } from './native.js';
import { primaryOf, type Place } from './hierarchies.js';
import { tryUntil, type Deadline } from './waiting.js';

/**
 * Sends SIGKILL to every process of a container, those it is just forking included.
 *
 * With `cgroup.kill` (v2 and hybrid, Linux 5.14) the kernel does it in one step. On v1 the cgroup stands still in its
 * freezer while its processes are signalled: none can fork, and no pid can be used again before it is thawed.
 *
 * @returns the number of processes that were there
 */
export function killAll(places: readonly Place[]): number {
  const primary = primaryOf(places);
  if (primary === undefined) return 0;
  const pids = processesIn(primary.directory);
  if (pids.length === 0) return 0;
  if (killByKernel(primary)) return pids.length;
  const freezer = freezerOf(places);
  if (freezer === undefined) return killOneByOne(primary.directory, pids);
  try {
    freezer.request(true);
    // Frozen or not, every process found now is signalled; one that was missed dies in the next round.
    return killOneByOne(primary.directory, processesIn(primary.directory));
  } finally {
    // A frozen v1 process dies only when it is thawed.
    freezer.request(false);
  }
}

function killByKernel({ hierarchy, directory }: Place): boolean {
  if (hierarchy.kind !== 'v2') return false;
  try {
    writeKernelFile(join(directory, 'cgroup.kill'), '1');
    return true;
  } catch (error) {
    if (isAbsence(error)) return !isDirectory(directory);
    throw error;
  }
}

/** Descriptors held at a time: far below any limit of open files. */
const descriptorsAtATime = 200;

/** Signals processes through descriptors: what has left the cgroup, or taken over a pid, is spared. */
function killOneByOne(directory: string, pids: readonly number[]): number {
  let killed = 0;
  for (let at = 0; at < pids.length; at += descriptorsAtATime)
    killed += killBatch(directory, pids.slice(at, at + descriptorsAtATime));
  return killed;
}

function killBatch(directory: string, pids: readonly number[]): number {
  const native = nativeCgroup();
  const descriptors = new Map<number, number>();
  try {
    for (const pid of pids) {
      const descriptor = native.openProcess(pid);
      if (descriptor !== null) descriptors.set(pid, descriptor);
    }
    // Listed again now that the descriptors are held: a pid in both lists is the process we hold.
    const still = new Set(processesIn(directory));
    let killed = 0;
    for (const [pid, descriptor] of descriptors)
      if (still.has(pid) && native.killProcess(descriptor)) killed++;
    return killed;
  } finally {
    for (const descriptor of descriptors.values()) closeSync(descriptor);
  }
}

/**
 * Kills what is left and removes the container's cgroups in every hierarchy.
 *
 * @returns the directories that still stood at the deadline; none when all are gone
 */
export async function destroyAll(places: readonly Place[], deadline: Deadline): Promise<readonly string[]> {
  let left: readonly Place[] = places;
  await tryUntil(deadline, () => {
    killAll(places);
    left = left.filter((place) => !removeOrKill(place));
    return left.length === 0;
  });
  return left.map((place) => place.directory);
}

/** A process that died half-way into the container's cgroups may sit in one hierarchy only. */
function removeOrKill(place: Place): boolean {
  const { directory } = place;
  if (removeTree(directory)) return true;
  const pids = processesIn(directory);
  if (pids.length === 0) return removeTree(directory);
  stopForks(directory);
  killByKernel(place);
  killOneByOne(directory, pids);
  return false;
}

/** A cgroup about to be removed needs no new process; only where it limits them. */
function stopForks(directory: string): void {
  const file = join(directory, 'pids.max');
  if (readKernelFileIfPresent(file) === undefined) return;
  try {
    writeKernelFile(file, '0');
  } catch (error) {
    if (errnoName(error) !== 'ENOENT') throw error;
  }
}

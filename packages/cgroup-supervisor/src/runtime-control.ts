import { rmdirSync } from 'node:fs';
import { errnoName } from './cgroup-files.js';
import { processesIn } from './directories.js';
import { freezerOf, setFrozen } from './freezing.js';
import { destroyAll, killAll } from './killing.js';
import { cgroupPids, placesOf, type RuntimeCgroup } from './runtime-cgroup.js';
import { stopScope } from './runtime-systemd.js';
import { deadlineIn, tryUntil } from './waiting.js';

const freezingMs = 5000;
const killSignal = 9;

export function freezeCgroup(cgroup: RuntimeCgroup): Promise<void> {
  return freezeOrThaw(cgroup, true);
}

export function thawCgroup(cgroup: RuntimeCgroup): Promise<void> {
  return freezeOrThaw(cgroup, false);
}

async function freezeOrThaw(cgroup: RuntimeCgroup, frozen: boolean): Promise<void> {
  const freezer = freezerOf(placesOf(cgroup));
  if (freezer === undefined) throw new Error('there is no freezer here: the container cannot be paused');
  if (await setFrozen(freezer, frozen, deadlineIn(freezingMs))) return;
  throw new Error(`the container did not ${frozen ? 'freeze' : 'thaw'} within ${freezingMs / 1000} s`);
}

/** False too where there is no freezer. */
export function isFrozen(cgroup: RuntimeCgroup): boolean {
  return freezerOf(placesOf(cgroup))?.isFrozen() ?? false;
}

/**
 * Any signal to every process inside; SIGKILL to those that are just being forked too.
 *
 * @returns how many there were
 */
export function signalCgroup(cgroup: RuntimeCgroup, signal: number): number {
  if (signal === killSignal) return killAll(placesOf(cgroup));
  let count = 0;
  for (const pid of cgroupPids(cgroup)) {
    try {
      process.kill(pid, signal);
      count++;
    } catch (error) {
      // It has ended.
      if (errnoName(error) !== 'ESRCH') throw error;
    }
  }
  return count;
}

/**
 * Kills what is left and removes what was made for the container; what was there before stays. Idempotent. Throws, after
 * `timeoutMs` at most, naming what still stands.
 */
export async function deleteCgroup(cgroup: RuntimeCgroup, timeoutMs: number): Promise<void> {
  const deadline = deadlineIn(timeoutMs);
  const places = placesOf(cgroup);
  const own = places.filter(({ directory }) => cgroup.made.includes(directory) || cgroup.scope !== undefined);
  await tryUntil(deadline, () => {
    killAll(places);
    return cgroupPids(cgroup).length === 0;
  });
  const left = await destroyAll(own, deadline);
  if (left.length > 0) {
    const pids = left.flatMap((directory) => processesIn(directory)).join(', ');
    throw new Error(`the cgroup ${left.join(', ')} cannot be removed: processes ${pids} do not die`);
  }
  const gone = new Set(own.map(({ directory }) => directory));
  for (const directory of cgroup.made.toReversed()) if (!gone.has(directory)) removeIfEmpty(directory);
  if (cgroup.scope !== undefined) await stopScope(cgroup.scope, cgroup.isUserScope === true);
}

/** A parent may hold other containers by now. */
function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!['EBUSY', 'ENOTEMPTY', 'ENOENT'].includes(errnoName(error))) throw error;
  }
}

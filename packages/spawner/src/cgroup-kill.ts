import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readStartTicks } from './direct-launcher.js';
import type { NativeSpawner } from './native.js';

const SIGKILL = 9;
/** How long killed processes may take to be gone. */
const KILL_TIMEOUT_MS = 5_000;

function pidsIn(directory: string): number[] {
  try {
    return readFileSync(join(directory, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && line !== '0')
      .map(Number);
  } catch {
    // The cgroup is gone, and so is everything in it.
    return [];
  }
}

/** Of the cgroup and of those that the container made beneath it. */
function pidsBeneath(directory: string): number[] {
  let children: string[] = [];
  try {
    children = readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(directory, name));
  } catch {
    // Gone.
  }
  return [...pidsIn(directory), ...children.flatMap(pidsBeneath)];
}

function startTicksOf(pids: Iterable<number>): Map<number, bigint> {
  const ticks = new Map<number, bigint>();
  for (const pid of pids) {
    const own = readStartTicks(pid);
    // 0: it has ended.
    if (own !== 0n) ticks.set(pid, own);
  }
  return ticks;
}

/**
 * Kills everything in these cgroups and waits until it is gone; false when something stays. Only v2 can do it at once:
 * elsewhere it is done over until nothing is left, since a process may fork while its siblings are killed.
 */
export async function killCgroups(native: NativeSpawner, paths: readonly string[]): Promise<boolean> {
  const end = Date.now() + KILL_TIMEOUT_MS;
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 50)) {
    const pids = new Set(paths.flatMap(pidsBeneath));
    if (pids.size === 0) return true;
    if (Date.now() > end) return false;
    for (const path of paths) {
      const file = join(path, 'cgroup.kill');
      try {
        if (existsSync(file)) writeFileSync(file, '1');
      } catch {
        // Gone.
      }
    }
    const ticks = startTicksOf(pids);
    // Listed once more: a pid that another process got before its ticks were read is no more among them, one that gets it later
    // has other ticks.
    for (const pid of new Set(paths.flatMap(pidsBeneath))) {
      const known = ticks.get(pid);
      if (known !== undefined) native.signalProcess(pid, known, SIGKILL);
    }
    await delay(waitMs);
  }
}

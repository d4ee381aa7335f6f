import { statSync, watch, type FSWatcher } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { membershipPaths } from '@gantry/membership';

/** How often the files are looked at without any sign, milliseconds: notifications can be lost. */
const lookIntervalMs = 1_000;

/**
 * Calls back whenever the files that make a node a cluster's member may have changed, one call at a time, until the signal
 * aborts. The callback must not throw. Resolves when the last call has returned.
 */
export async function watchMembership(
  stateDirectory: string,
  onChange: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { directory } = membershipPaths(stateDirectory);
  let last = fingerprintOf(stateDirectory);
  while (!signal.aborted) {
    await nextSign(directory, signal);
    const now = fingerprintOf(stateDirectory);
    if (now === last || signal.aborted) continue;
    last = now;
    await onChange();
  }
}

/** Resolves at a notification, or after the interval. */
async function nextSign(directory: string, signal: AbortSignal): Promise<void> {
  const woken = new AbortController();
  const either = AbortSignal.any([signal, woken.signal]);
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(directory, { persistent: false }, () => woken.abort());
    watcher.on('error', () => undefined);
  } catch {
    // There is no such directory before the first cluster.
  }
  await sleep(lookIntervalMs, undefined, { signal: either }).catch(() => undefined);
  watcher?.close();
}

/** Files are replaced by rename: a change shows as another inode. */
function fingerprintOf(stateDirectory: string): string {
  const { membership, view, certificate } = membershipPaths(stateDirectory);
  return [membership, view, certificate]
    .map((path) => {
      const found = statSync(path, { throwIfNoEntry: false });
      return found === undefined ? '-' : `${found.ino}:${found.mtimeMs}:${found.size}`;
    })
    .join(' ');
}

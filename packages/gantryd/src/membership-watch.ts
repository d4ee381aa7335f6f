import { statSync, watch, type FSWatcher } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { membershipPaths } from '@gantry/membership';

/** How often the files are looked at without any sign, milliseconds: notifications can be lost. */
const lookIntervalMs = 1_000;

interface MembershipWatchOptions {
  readonly stateDirectory: string;
  /** The files as they were when they were last acted upon: see `sightOf`. */
  readonly seen: string;
  /** Must not throw. Resolves with the milliseconds after which it wants to be called though nothing changed. */
  readonly onChange: () => Promise<number | undefined>;
  /** The same of the first time, which was before the watch. */
  readonly retryMs: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * Calls back whenever the files that make a node a cluster's member may have changed, one call at a time, until the signal
 * aborts. Resolves when the last call has returned.
 */
export async function watchMembership(options: MembershipWatchOptions): Promise<void> {
  const { stateDirectory, onChange, signal } = options;
  const { directory } = membershipPaths(stateDirectory);
  const after = (retryMs: number | undefined): number => performance.now() + (retryMs ?? Infinity);
  let { seen } = options;
  let retryAt = after(options.retryMs);
  while (!signal.aborted) {
    const now = sightOf(stateDirectory);
    if (now === seen && performance.now() < retryAt) {
      await nextSign(directory, signal);
      continue;
    }
    seen = now;
    retryAt = after(await onChange());
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

/** What can be seen of the files from outside. They are replaced by rename: a change shows as another inode. */
export function sightOf(stateDirectory: string): string {
  const { membership, view, certificate, key, caCertificate, routeSecret } = membershipPaths(stateDirectory);
  return [membership, view, certificate, key, caCertificate, routeSecret]
    .map((path) => {
      const found = statSync(path, { throwIfNoEntry: false });
      return found === undefined ? '-' : `${found.ino}:${found.mtimeMs}:${found.size}`;
    })
    .join(' ');
}

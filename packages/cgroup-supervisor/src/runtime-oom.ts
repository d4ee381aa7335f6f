import { watch } from 'node:fs';
import { join } from 'node:path';
import { readKernelFileIfPresent } from './cgroup-files.js';
import { isDirectory } from './directories.js';
import { placeFor } from './hierarchies.js';
import { nativeCgroup } from './native.js';
import { placesOf, type RuntimeCgroup } from './runtime-cgroup.js';
import { readOomKills } from './usage.js';

/** The kernel does not tell of a cgroup's end, nor on v1 of a kill for want of the whole machine's memory. */
const lookAgainMs = 250;

/**
 * Calls back for each process that the kernel kills for want of memory, and on v1 once when the container stands still
 * because it may not be killed. Resolves when the cgroup is gone or `signal` aborts.
 */
export function watchOom(cgroup: RuntimeCgroup, onOom: () => void, signal: AbortSignal): Promise<void> {
  const places = placesOf(cgroup);
  const home = placeFor(places, 'memory');
  if (home === undefined)
    return Promise.reject(new Error('there is no memory controller here: nothing to watch'));
  const { directory, hierarchy } = home;
  const isStill = (): boolean =>
    hierarchy.kind === 'v1' &&
    /^oom_kill_disable 1$[^]*^under_oom 1$/m.test(
      readKernelFileIfPresent(join(directory, 'memory.oom_control')) ?? '',
    );
  let known = readOomKills(places) ?? 0;
  let wasStill = false;
  const look = (): void => {
    const count = readOomKills(places) ?? known;
    for (; known < count; known++) onOom();
    const still = isStill();
    if (still && !wasStill) onOom();
    wasStill = still;
  };
  return new Promise((resolve) => {
    const stopHearing = hear(directory, hierarchy.kind, look);
    const timer = setInterval(() => {
      look();
      if (!isDirectory(directory)) end();
    }, lookAgainMs);
    const end = (): void => {
      clearInterval(timer);
      signal.removeEventListener('abort', end);
      stopHearing();
      resolve();
    };
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}

/** The kernel's own notification: at once, where it comes. */
function hear(directory: string, kind: 'v1' | 'v2', look: () => void): () => void {
  if (kind === 'v2') {
    const watcher = watch(join(directory, 'memory.events'), { persistent: false }, look);
    watcher.on('error', look);
    return () => watcher.close();
  }
  const watcher = new (nativeCgroup().OomWatch)(look);
  watcher.add(directory);
  return () => watcher.close();
}

import { watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';
import { isAbsence } from './cgroup-files.js';
import { homeOf } from './hierarchies.js';
import { nativeCgroup, type NativeOomWatch } from './native.js';
import type { CgroupTree } from './tree.js';
import { deadlineIn, tryUntil } from './waiting.js';
import { readOomKills } from './usage.js';

/** Told when the kernel's count of OOM kills in a container has grown, and by how much. */
export type OomListener = (containerId: string, oomKillCount: number, grownBy: number) => void;

/** v1 notifies before it kills: the count follows within this time, or the kill did not come about. */
const killFollowsMs = 2000;

interface Watched {
  /** Kills that the listener knows of. */
  known: number;
  /** True while a notification is being followed up. */
  following: boolean;
  /** True when another notification came meanwhile. */
  again: boolean;
  readonly stop: () => void;
}

/**
 * Learns of OOM kills from the kernel's own notifications: v1 by an eventfd on memory.oom_control, v2 by inotify on
 * memory.events. Nothing runs while nothing happens.
 */
export class OomWatcher {
  readonly #tree: CgroupTree;
  readonly #listener: OomListener;
  readonly #onFailure: (error: unknown) => void;
  readonly #watched = new Map<string, Watched>();
  readonly #tokens = new Map<number, string>();
  readonly #closing = new AbortController();
  #native: NativeOomWatch | undefined;

  constructor(tree: CgroupTree, listener: OomListener, onFailure: (error: unknown) => void) {
    this.#tree = tree;
    this.#listener = listener;
    this.#onFailure = onFailure;
  }

  get count(): number {
    return this.#watched.size;
  }

  /** Begins to watch; what was killed before counts as known. Idempotent. */
  add(containerId: string): void {
    if (this.#watched.has(containerId) || this.#closing.signal.aborted) return;
    const known = readOomKills(this.#tree.places(containerId));
    if (known === undefined) return;
    const stop = this.#register(containerId);
    if (stop !== undefined) this.#watched.set(containerId, { known, following: false, again: false, stop });
  }

  /** Reports what is still unreported, and stops watching. */
  remove(containerId: string): void {
    const watched = this.#watched.get(containerId);
    if (watched === undefined) return;
    this.check(containerId);
    this.#watched.delete(containerId);
    watched.stop();
  }

  /**
   * Compares the kernel's count with the known one and reports a growth. Called besides by whoever reads usage anyway:
   * a kill by the whole machine's shortage is counted for the container but, on v1, not notified.
   *
   * @returns whether it had grown
   */
  check(containerId: string, count = readOomKills(this.#tree.places(containerId))): boolean {
    const watched = this.#watched.get(containerId);
    if (watched === undefined || count === undefined || count <= watched.known) return false;
    const grownBy = count - watched.known;
    watched.known = count;
    this.#listener(containerId, count, grownBy);
    return true;
  }

  close(): void {
    this.#closing.abort();
    for (const watched of this.#watched.values()) watched.stop();
    this.#watched.clear();
    this.#native?.close();
  }

  #register(containerId: string): (() => void) | undefined {
    const directory = this.#tree.placeOf('memory', containerId);
    if (directory === undefined) return undefined;
    try {
      return homeOf(this.#tree.hierarchies, 'memory')?.kind === 'v1'
        ? this.#registerEventfd(containerId, directory)
        : this.#registerInotify(containerId, join(directory, 'memory.events'));
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw error;
    }
  }

  #registerEventfd(containerId: string, directory: string): () => void {
    const native = (this.#native ??= new (nativeCgroup().OomWatch)((token) => {
      const id = this.#tokens.get(token);
      if (id !== undefined) this.#notified(id);
    }));
    const token = native.add(directory);
    this.#tokens.set(token, containerId);
    return () => {
      this.#tokens.delete(token);
      native.remove(token);
    };
  }

  #registerInotify(containerId: string, file: string): () => void {
    const watcher: FSWatcher = watch(file, { persistent: false }, () => this.#notified(containerId));
    watcher.on('error', this.#onFailure);
    return () => watcher.close();
  }

  #notified(containerId: string): void {
    const watched = this.#watched.get(containerId);
    if (watched === undefined) return;
    watched.again = true;
    if (watched.following) return;
    watched.following = true;
    this.#follow(containerId, watched)
      .catch(this.#onFailure)
      .finally(() => (watched.following = false));
  }

  /** v1's notification precedes the kill: the count is read again for a bounded time until it has grown. */
  async #follow(containerId: string, watched: Watched): Promise<void> {
    while (watched.again) {
      watched.again = false;
      await tryUntil(
        deadlineIn(killFollowsMs, this.#closing.signal),
        () => watched.again || this.#watched.get(containerId) !== watched || this.check(containerId),
      );
    }
  }
}

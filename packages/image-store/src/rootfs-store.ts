import { chmodSync, chownSync, lstatSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { chmod, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { GantryError, type common } from '@gantry/protocol';
import { isDigest, type Digest } from './digest.js';
import { KeyedQueue } from '@gantry/bus';
import { missingLayer, type LayerStore } from './layer-store.js';
import { summarizeUpper, type UpperSummary } from './native.js';
import { makePrivateDirectory, removePath, temporaryName, withDescriptors } from './state-files.js';
import { isMissing, storageError } from './storage-error.js';

/** A container's hold on an image, and what it writes. */
export interface RootfsRecord {
  readonly containerId: string;
  readonly imageId: Digest;
  /** As the container was made from it. */
  readonly reference: string;
  /** Bottom first. */
  readonly chainIds: readonly Digest[];
}

export interface PreparedRootfs {
  readonly record: RootfsRecord;
  readonly lowerdirs: readonly common.KernelHandle[];
  readonly writable: common.KernelHandle;
}

/**
 * Writable directories by container: `rootfs/<container id>/{rootfs.json,writable/{upper,work}}`. Made elsewhere and renamed,
 * so that record and directories are there together or not at all.
 *
 * The record is not synced: a power cut may lose a container's directories of the last seconds, whole, and they are then
 * prepared anew. That keeps the disk out of a container's start.
 */
export class RootfsStore {
  readonly #directory: string;
  readonly #layers: LayerStore;
  readonly #records = new Map<string, RootfsRecord>();
  readonly #queue = new KeyedQueue();

  private constructor(directory: string, layers: LayerStore) {
    this.#directory = directory;
    this.#layers = layers;
  }

  static async open(directory: string, layers: LayerStore): Promise<RootfsStore> {
    const store = new RootfsStore(directory, layers);
    await makePrivateDirectory(directory);
    await makePrivateDirectory(store.#emptyPath);
    await chmod(store.#emptyPath, 0o755);
    for (const name of await readdir(directory)) {
      if (name === '.empty') continue;
      const record = name.startsWith('.') ? undefined : await readRecord(join(directory, name), name);
      if (record === undefined) await removePath(join(directory, name));
      else store.#keep(record);
    }
    return store;
  }

  /** Lowest layer of images that have none: overlay wants at least one. */
  get #emptyPath(): string {
    return join(this.#directory, '.empty');
  }

  get(containerId: string): RootfsRecord | undefined {
    return this.#records.get(containerId);
  }

  /** Sorted by container id. */
  all(): readonly RootfsRecord[] {
    return [...this.#records.values()].sort((a, b) => (a.containerId < b.containerId ? -1 : 1));
  }

  /** Ids of the containers that hold the image. */
  holdersOf(imageId: Digest): readonly string[] {
    return this.all().flatMap((record) => (record.imageId === imageId ? [record.containerId] : []));
  }

  countOf(imageId: Digest): number {
    let count = 0;
    for (const record of this.#records.values()) if (record.imageId === imageId) count += 1;
    return count;
  }

  /** Makes the container's directories, or finds those that are there. The image is held from the first moment. */
  async prepare(wanted: RootfsRecord): Promise<PreparedRootfs> {
    const known = this.#records.get(wanted.containerId);
    if (known === undefined) this.#keep(wanted);
    else if (known.imageId !== wanted.imageId)
      throw new GantryError({
        code: 'already_exists',
        operation: 'PrepareRootfs',
        object: wanted.containerId,
        message: `container ${wanted.containerId} has its root file system from another image, ${known.imageId}`,
      });
    return this.#queue.run(wanted.containerId, async () => {
      const record = this.#records.get(wanted.containerId);
      if (record === undefined)
        throw new GantryError({
          code: 'failed_precondition',
          operation: 'PrepareRootfs',
          object: wanted.containerId,
          message: `container ${wanted.containerId} was released meanwhile`,
        });
      try {
        const lowerdirs = this.#lowerPaths(record).map((path) => this.#handleOf(path, record));
        const writable = await this.#makeWritable(record, lowerdirs[0]?.path ?? this.#emptyPath);
        return { record, lowerdirs, writable };
      } catch (error) {
        // Only what this call began is taken back.
        if (known === undefined) this.#drop(wanted.containerId);
        throw storageError(
          error,
          'PrepareRootfs',
          this.#directory,
          `preparing container ${wanted.containerId}`,
        );
      }
    });
  }

  /** Top layer first; nothing below an opaque root. */
  #lowerPaths({ chainIds, imageId }: RootfsRecord): string[] {
    const paths: string[] = [];
    for (const chainId of chainIds.toReversed()) {
      const layer = this.#layers.get(chainId);
      if (layer === undefined) throw missingLayer('PrepareRootfs', imageId, chainId);
      paths.push(this.#layers.diffPath(chainId));
      if (layer.opaqueRoot) break;
    }
    return paths.length === 0 ? [this.#emptyPath] : paths;
  }

  #handleOf(path: string, { imageId }: RootfsRecord): common.KernelHandle {
    try {
      const info = lstatSync(path);
      return { path, device: info.dev, inode: info.ino };
    } catch (error) {
      if (!isMissing(error)) throw error;
      throw new GantryError({
        code: 'data_loss',
        operation: 'PrepareRootfs',
        object: path,
        message: `layer directory ${path} of image ${imageId} is gone: remove the image and pull it again`,
      });
    }
  }

  /**
   * A dozen calls that only touch the kernel's caches: made one after the other here they take a tenth of what a dozen
   * trips to a thread take, and every start waits for them.
   */
  async #makeWritable(record: RootfsRecord, topLayer: string): Promise<common.KernelHandle> {
    const path = join(this.#directory, record.containerId);
    const writable = join(path, 'writable');
    const present = lstatSync(writable, { throwIfNoEntry: false });
    if (present !== undefined) return { path: writable, device: present.dev, inode: present.ino };
    const temporary = join(this.#directory, `.${temporaryName()}`);
    try {
      mkdirSync(join(temporary, 'writable', 'work'), { recursive: true, mode: 0o700 });
      const upper = join(temporary, 'writable', 'upper');
      mkdirSync(upper, { mode: 0o700 });
      writeFileSync(join(temporary, 'rootfs.json'), JSON.stringify(record), { mode: 0o600 });
      // The upper directory is what the container sees as the owner and mode of its root.
      const top = lstatSync(topLayer);
      if (top.uid !== 0 || top.gid !== 0) chownSync(upper, top.uid, top.gid);
      chmodSync(upper, top.mode & 0o7777);
      renameSync(temporary, path);
    } catch (error) {
      await removePath(temporary).catch(() => undefined);
      throw error;
    }
    const made = lstatSync(writable);
    return { path: writable, device: made.dev, inode: made.ino };
  }

  /** Removes the container's directories and its hold. Nothing to remove is fine. */
  async release(containerId: string): Promise<void> {
    await this.#queue.run(containerId, async () => {
      const trash = join(this.#directory, `.${temporaryName()}`);
      try {
        await rename(join(this.#directory, containerId), trash);
      } catch (error) {
        if (!isMissing(error))
          throw storageError(error, 'ReleaseRootfs', this.#directory, `releasing container ${containerId}`);
        this.#drop(containerId);
        return;
      }
      this.#drop(containerId);
      try {
        await removePath(trash);
      } catch (error) {
        throw storageError(
          error,
          'ReleaseRootfs',
          this.#directory,
          `removing the files of container ${containerId}`,
        );
      }
    });
  }

  /** What the container has written. */
  async summarize(record: RootfsRecord, limit: number): Promise<UpperSummary> {
    return this.#withUpper(record, this.#lowerPaths(record), (upper, lowers) =>
      summarizeUpper(upper, lowers, limit),
    );
  }

  /** Bytes on disk of what the container has written. */
  async writableBytes(record: RootfsRecord): Promise<number> {
    return this.#withUpper(record, [], async (upper) => (await summarizeUpper(upper, [], 0)).bytes);
  }

  async #withUpper<T>(
    record: RootfsRecord,
    lowerPaths: readonly string[],
    use: (upper: number, lowers: readonly number[]) => Promise<T>,
  ): Promise<T> {
    const paths = [join(this.#directory, record.containerId, 'writable', 'upper'), ...lowerPaths];
    try {
      return await withDescriptors(paths, (upper = -1, ...lowers) => use(upper, lowers));
    } catch (error) {
      throw storageError(
        error,
        'DescribeRootfs',
        this.#directory,
        `reading the files of container ${record.containerId}`,
      );
    }
  }

  #keep(record: RootfsRecord): void {
    this.#records.set(record.containerId, record);
    this.#layers.holds.hold(record.chainIds);
  }

  #drop(containerId: string): void {
    const record = this.#records.get(containerId);
    if (record === undefined) return;
    this.#records.delete(containerId);
    this.#layers.holds.release(record.chainIds);
  }
}

async function readRecord(path: string, containerId: string): Promise<RootfsRecord | undefined> {
  try {
    const value = JSON.parse(await readFile(join(path, 'rootfs.json'), 'utf8')) as Partial<RootfsRecord>;
    const whole =
      value.containerId === containerId &&
      isDigest(value.imageId) &&
      Array.isArray(value.chainIds) &&
      value.chainIds.every(isDigest);
    return whole
      ? Object.freeze({ ...(value as RootfsRecord), reference: value.reference ?? '' })
      : undefined;
  } catch {
    return undefined;
  }
}

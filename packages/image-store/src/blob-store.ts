import { readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { GantryError } from '@gantry/protocol';
import { digestOf, hexOf, isDigest, shortDigest, type Digest } from './digest.js';
import type { IncomingBlob } from './incoming-blob.js';
import { KeyedQueue } from '@gantry/bus';
import { Holds } from './shared-work.js';
import {
  makePrivateDirectory,
  syncDirectory,
  sweepDirectory,
  temporaryName,
  writeDurably,
} from './state-files.js';
import { isMissing, storageError } from './storage-error.js';

const maxRecent = 32;

/** Content by digest: `blobs/sha256/<hex>`. What has its name there has been verified and synced. */
export class BlobStore {
  /** Who needs which blob; what nobody holds may be collected. */
  readonly holds = new Holds();
  readonly #directory: string;
  readonly #incoming: string;
  readonly #sizes = new Map<Digest, number>();
  readonly #queue = new KeyedQueue();
  /** Configurations of images that containers are made from, so that a start need not read them. */
  readonly #recent = new Map<Digest, Buffer>();

  private constructor(root: string) {
    this.#directory = join(root, 'sha256');
    this.#incoming = join(root, 'incoming');
  }

  /** Opens the store below `root`, dropping what a killed process left half-made. */
  static async open(root: string): Promise<BlobStore> {
    const store = new BlobStore(root);
    await makePrivateDirectory(store.#directory);
    await sweepDirectory(store.#incoming);
    for (const name of await readdir(store.#directory)) {
      const digest = `sha256:${name}`;
      if (isDigest(digest)) store.#sizes.set(digest, (await stat(join(store.#directory, name))).size);
      else await unlink(join(store.#directory, name));
    }
    return store;
  }

  has(digest: Digest): boolean {
    return this.#sizes.has(digest);
  }

  /** 0 when it is not here. */
  sizeOf(digest: Digest): number {
    return this.#sizes.get(digest) ?? 0;
  }

  get totalBytes(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  digests(): readonly Digest[] {
    return [...this.#sizes.keys()];
  }

  pathOf(digest: Digest): string {
    return join(this.#directory, hexOf(digest));
  }

  /** The content of a small blob, verified when it was read. Throws `data_loss` when it rotted. */
  async read(digest: Digest): Promise<Buffer> {
    const recent = this.#recent.get(digest);
    if (recent !== undefined && this.has(digest)) return recent;
    const content = await this.#readVerified(digest);
    const [oldest] = this.#recent.keys();
    if (oldest !== undefined && this.#recent.size >= maxRecent) this.#recent.delete(oldest);
    this.#recent.set(digest, content);
    return content;
  }

  async #readVerified(digest: Digest): Promise<Buffer> {
    const path = this.pathOf(digest);
    let content: Buffer;
    try {
      content = await readFile(path);
    } catch (error) {
      if (isMissing(error)) this.#sizes.delete(digest);
      throw storageError(error, 'readBlob', path, `reading blob ${shortDigest(digest)}`);
    }
    if (digestOf(content) === digest) return content;
    throw new GantryError({
      code: 'data_loss',
      operation: 'readBlob',
      object: digest,
      message: `blob ${digest} is damaged on disk: pull its image again after removing it`,
    });
  }

  /** Keeps a small document whose digest has been verified by the caller. */
  async put(digest: Digest, content: Uint8Array): Promise<void> {
    await this.#queue.run(digest, async () => {
      if (this.has(digest)) return;
      try {
        await writeDurably(this.pathOf(digest), content);
      } catch (error) {
        throw storageError(error, 'writeBlob', this.#directory, `keeping blob ${shortDigest(digest)}`);
      }
      this.#sizes.set(digest, content.length);
    });
  }

  /** A new place for a blob that is not verified yet. */
  incomingPath(): string {
    return join(this.#incoming, temporaryName());
  }

  /** Keeps a blob that has arrived whole and hashes to `digest`. The file is moved or removed. */
  async commit(digest: Digest, incoming: IncomingBlob): Promise<void> {
    await this.#queue.run(digest, async () => {
      if (this.has(digest)) return;
      await incoming.sync();
      try {
        await rename(incoming.path, this.pathOf(digest));
        await syncDirectory(this.#directory);
      } catch (error) {
        throw storageError(error, 'writeBlob', this.#directory, `keeping blob ${shortDigest(digest)}`);
      }
      this.#sizes.set(digest, incoming.bytes);
    });
  }

  /** Removes the blob unless somebody holds it by now. Answers the bytes it had. */
  async removeUnheld(digest: Digest): Promise<number> {
    return this.#queue.run(digest, async () => {
      const size = this.#sizes.get(digest);
      if (size === undefined || this.holds.count(digest) > 0) return 0;
      this.#sizes.delete(digest);
      this.#recent.delete(digest);
      try {
        await unlink(this.pathOf(digest));
      } catch (error) {
        if (!isMissing(error))
          throw storageError(error, 'removeBlob', this.#directory, `removing blob ${shortDigest(digest)}`);
      }
      return size;
    });
  }
}

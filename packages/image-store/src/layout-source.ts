import { open, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { GantryError } from '@gantry/protocol';
import type { BlobSource } from './blob-intake.js';
import { digestOf, hexOf, shortDigest, type Digest } from './digest.js';
import type { CheckedDescriptor } from './manifest.js';
import { isMissing } from './storage-error.js';

const pieceBytes = 1024 * 1024;

/** Images in a directory: an OCI layout, or a docker archive that has been unpacked. */
export class LayoutSource implements BlobSource {
  readonly name: string;
  readonly #root: string;
  readonly #ours: boolean;
  /** Docker archives keep layers under names of their own. */
  readonly #places = new Map<string, string>();

  /** `root` must be a real path. `ours`: whole files may be taken away. */
  constructor(name: string, root: string, ours: boolean) {
    this.name = name;
    this.#root = root;
    this.#ours = ours;
  }

  /** Says that a blob is kept under another name. */
  place(digest: Digest, path: string): void {
    this.#places.set(digest, path);
  }

  /** The path of a file of the layout. Throws when it is not there or a link leads out. */
  async resolve(name: string): Promise<string> {
    let path: string;
    try {
      path = await realpath(join(this.#root, name));
    } catch (error) {
      if (isMissing(error)) throw this.#refuse(`holds no ${name}`);
      throw error;
    }
    if (!path.startsWith(`${this.#root}${sep}`)) throw this.#refuse(`keeps ${name} outside of itself`);
    if (!(await stat(path)).isFile()) throw this.#refuse(`holds ${name}, which is not a file`);
    return path;
  }

  /** A small file; undefined when it is not there. */
  async readOptional(name: string, maxBytes: number): Promise<Buffer | undefined> {
    try {
      await stat(join(this.#root, name));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    return this.readSmall(name, maxBytes);
  }

  async readSmall(name: string, maxBytes: number): Promise<Buffer> {
    const file = await open(await this.resolve(name), 'r');
    try {
      const { size } = await file.stat();
      if (size > maxBytes)
        throw this.#refuse(`holds ${name} of ${size} bytes, more than the ${maxBytes} supported`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  /** A small blob, verified. */
  async readDocument(descriptor: CheckedDescriptor, maxBytes: number): Promise<Buffer> {
    const bytes = await this.readSmall(this.#placeOf(descriptor.digest), maxBytes);
    const actual = digestOf(bytes);
    if (actual === descriptor.digest) return bytes;
    throw new GantryError({
      code: 'data_loss',
      operation: 'LoadImage',
      object: descriptor.digest,
      message: `blob ${descriptor.digest} from ${this.name} is not what it claims to be: it hashes to ${actual}`,
    });
  }

  async sizeOf(name: string): Promise<number> {
    return (await stat(await this.resolve(name))).size;
  }

  async readBlob(
    descriptor: CheckedDescriptor,
    take: (chunks: readonly Uint8Array[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const file = await open(await this.resolve(this.#placeOf(descriptor.digest)), 'r');
    try {
      const { size } = await file.stat();
      if (size !== descriptor.size)
        throw new GantryError({
          code: 'data_loss',
          operation: 'LoadImage',
          object: descriptor.digest,
          message: `blob ${shortDigest(descriptor.digest)} of ${this.name} has ${size} bytes, but its manifest says ${descriptor.size}`,
        });
      for (let position = 0; position < size;) {
        signal.throwIfAborted();
        const { bytesRead, buffer } = await file.read(
          Buffer.allocUnsafe(Math.min(pieceBytes, size - position)),
          0,
          null,
          position,
        );
        if (bytesRead === 0) throw this.#refuse(`shrinks while it is read`);
        await take([buffer.subarray(0, bytesRead)]);
        position += bytesRead;
      }
    } finally {
      await file.close();
    }
  }

  async takeFile(descriptor: CheckedDescriptor): Promise<string | undefined> {
    return this.#ours ? this.resolve(this.#placeOf(descriptor.digest)) : undefined;
  }

  #placeOf(digest: Digest): string {
    return this.#places.get(digest) ?? join('blobs', 'sha256', hexOf(digest));
  }

  #refuse(reason: string): GantryError {
    return new GantryError({
      code: 'invalid_argument',
      operation: 'LoadImage',
      object: this.name,
      message: `${this.name} ${reason}`,
    });
  }
}

import { open, rename, type FileHandle } from 'node:fs/promises';
import { GantryError } from '@gantry/protocol';
import { storageError } from './storage-error.js';

/**
 * A blob on its way in: a file that grows while others already read it. Whoever brings it calls `write` or `adopt`;
 * whoever unpacks it follows `onGrowth`.
 */
export class IncomingBlob {
  readonly path: string;
  readonly expectedBytes: number;
  readonly #file: FileHandle;
  readonly #listeners = new Set<() => void>();
  #bytes = 0;
  #ended = false;

  private constructor(path: string, expectedBytes: number, file: FileHandle) {
    this.path = path;
    this.expectedBytes = expectedBytes;
    this.#file = file;
  }

  static async create(path: string, expectedBytes: number): Promise<IncomingBlob> {
    try {
      return new IncomingBlob(path, expectedBytes, await open(path, 'wx+', 0o600));
    } catch (error) {
      throw storageError(error, 'writeBlob', path, 'making a blob');
    }
  }

  /** Takes a whole file of the same file system instead of bytes; its name goes away. */
  static async adopt(path: string, from: string): Promise<IncomingBlob> {
    await rename(from, path);
    const file = await open(path, 'r+');
    const blob = new IncomingBlob(path, (await file.stat()).size, file);
    blob.#bytes = blob.expectedBytes;
    blob.#ended = true;
    return blob;
  }

  get fd(): number {
    return this.#file.fd;
  }
  get bytes(): number {
    return this.#bytes;
  }
  get ended(): boolean {
    return this.#ended;
  }

  /** Appends. Refuses more than was announced. */
  async write(chunks: readonly Uint8Array[]): Promise<void> {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (this.#bytes + length > this.expectedBytes)
      throw new GantryError({
        code: 'data_loss',
        operation: 'writeBlob',
        object: this.path,
        message: `more than the ${this.expectedBytes} bytes announced arrived`,
      });
    try {
      let position = this.#bytes;
      let rest = [...chunks];
      while (rest.length > 0) {
        const { bytesWritten } = await this.#file.writev(rest, position);
        position += bytesWritten;
        rest = withoutFirstBytes(rest, bytesWritten);
      }
      this.#bytes = position;
    } catch (error) {
      throw storageError(error, 'writeBlob', this.path, 'writing a blob');
    }
    this.#tell();
  }

  /** Says that all bytes are there. */
  end(): void {
    this.#ended = true;
    this.#tell();
  }

  /** Calls the listener now and whenever more has arrived; returns what stops it. */
  onGrowth(listener: () => void): () => void {
    this.#listeners.add(listener);
    listener();
    return () => this.#listeners.delete(listener);
  }

  async sync(): Promise<void> {
    try {
      await this.#file.datasync();
    } catch (error) {
      throw storageError(error, 'writeBlob', this.path, 'writing a blob');
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function withoutFirstBytes(chunks: Uint8Array[], bytes: number): Uint8Array[] {
  let skip = bytes;
  const rest: Uint8Array[] = [];
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}

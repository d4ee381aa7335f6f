import { readdir } from 'node:fs/promises';
import { open, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/** One open log file: it stays the same file however often it is renamed. */
export class LogFile implements AsyncDisposable {
  readonly inode: number;
  readonly #handle: FileHandle;
  readonly #decoder = new StringDecoder('utf8');
  readonly #buffer = Buffer.alloc(CHUNK_BYTES);
  #offset = 0;
  #rest = '';

  private constructor(handle: FileHandle, inode: number) {
    this.#handle = handle;
    this.inode = inode;
  }

  static async open(path: string): Promise<LogFile | undefined> {
    try {
      const handle = await open(path, 'r');
      return new LogFile(handle, (await handle.stat()).ino);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Whole lines that have come since the last read; empty at the end. */
  async readLines(): Promise<readonly string[]> {
    const { bytesRead } = await this.#handle.read(this.#buffer, 0, CHUNK_BYTES, this.#offset);
    if (bytesRead === 0) return [];
    this.#offset += bytesRead;
    const lines = (this.#rest + this.#decoder.write(this.#buffer.subarray(0, bytesRead))).split('\n');
    this.#rest = lines.pop() ?? '';
    // A chunk inside one long line is progress too: the next read goes on.
    return lines.length > 0 ? lines : this.readLines();
  }

  /** Moves to where the last `count` lines begin; answers how many of them this file has. */
  async seekLastLines(count: number): Promise<number> {
    const { size } = await this.#handle.stat();
    let found = 0;
    for (let end = size; end > 0;) {
      const begin = Math.max(0, end - CHUNK_BYTES);
      const { bytesRead } = await this.#handle.read(this.#buffer, 0, end - begin, begin);
      for (let at = bytesRead - 1; at >= 0; at -= 1) {
        // The line feed at the very end closes the last line, it does not begin one.
        if (this.#buffer[at] !== NEWLINE || begin + at === size - 1) continue;
        found += 1;
        if (found === count) {
          this.#offset = begin + at + 1;
          return count;
        }
      }
      end = begin;
    }
    this.#offset = 0;
    return size === 0 ? 0 : found + 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/** The log's files that exist, oldest first: `log.2`, `log.1`, `log`. */
export async function listLogFiles(path: string): Promise<readonly string[]> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path)).catch(() => []);
  const numbers = names
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => b - a);
  return [...numbers.map((number) => join(dirname(path), `${prefix}${number}`)), path];
}

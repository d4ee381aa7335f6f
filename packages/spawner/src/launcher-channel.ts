import { closeSync, read } from 'node:fs';
import { FrameReader, type ShimMessage } from './shim-protocol.js';

const LARGEST_READ = 4096;

/**
 * What a launcher says on the socket that it was born with. Read by read(2) on a thread of Node's pool, which needs nothing loaded;
 * signals to this process are handled meanwhile.
 */
export class LauncherChannel {
  readonly descriptor: number;
  readonly #reader = new FrameReader();
  readonly #waiting: ShimMessage[] = [];

  /** Takes the descriptor over. */
  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  /** The next message; undefined once the launcher has ended. */
  async next(): Promise<ShimMessage | undefined> {
    for (;;) {
      const known = this.#waiting.shift();
      if (known !== undefined) return known;
      const bytes = await this.#read();
      if (bytes.length === 0) return undefined;
      this.#waiting.push(...this.#reader.push(bytes));
    }
  }

  /** No read may be under way. */
  close(): void {
    closeSync(this.descriptor);
  }

  #read(): Promise<Buffer> {
    return new Promise((resolve) => {
      const buffer = Buffer.alloc(LARGEST_READ);
      // An error is an end as well: a launcher that was killed may reset the connection.
      read(this.descriptor, buffer, 0, buffer.length, null, (error, length) =>
        resolve(buffer.subarray(0, error === null ? length : 0)),
      );
    });
  }
}

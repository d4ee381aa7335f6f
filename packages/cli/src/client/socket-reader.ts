import type { Socket } from 'node:net';

/** Pulls bytes from a socket; what nobody asks for stays in the kernel, so that the sender waits. */
export class SocketReader {
  readonly #socket: Socket;
  #left: Buffer | undefined;
  #over = false;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    const wake = (): void => this.#wake();
    socket.on('readable', wake);
    socket.on('end', () => {
      this.#over = true;
      wake();
    });
    socket.on('close', () => {
      this.#over = true;
      wake();
    });
    socket.on('error', (error) => {
      this.#failure ??= error;
      wake();
    });
  }

  /** The next bytes, as many as are there; undefined at the end. */
  async read(): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#left !== undefined) {
        const chunk = this.#left;
        this.#left = undefined;
        return chunk;
      }
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk !== null) return chunk;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#over) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Gives back what was read too much. */
  unread(chunk: Buffer): void {
    if (chunk.length > 0) this.#left = this.#left === undefined ? chunk : Buffer.concat([chunk, this.#left]);
  }

  /** Text up to the line end, without it. */
  async readLine(): Promise<string> {
    let text = Buffer.alloc(0);
    for (;;) {
      const chunk = await this.read();
      if (chunk === undefined) throw new Error('the connection was closed in the middle of an answer');
      const at = chunk.indexOf(0x0a);
      if (at === -1) {
        text = Buffer.concat([text, chunk]);
        continue;
      }
      this.unread(chunk.subarray(at + 1));
      return Buffer.concat([text, chunk.subarray(0, at)])
        .toString('latin1')
        .replace(/\r$/, '');
    }
  }

  /** At most so many bytes; undefined at the end. */
  async readSome(limit: number): Promise<Buffer | undefined> {
    const chunk = await this.read();
    if (chunk === undefined || chunk.length <= limit) return chunk;
    this.unread(chunk.subarray(limit));
    return chunk.subarray(0, limit);
  }
}

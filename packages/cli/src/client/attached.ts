import type { Socket } from 'node:net';
import { frameKinds } from '@gantry/protocol/stream-frames';
import { drained, type HttpAnswer } from './http.js';
import { frameHeader, rawBytes, readFrames, type Frame } from './frames.js';

/** A connection to a process: its output comes, its input goes, its exit code comes last. */
export class Attached {
  readonly frames: AsyncGenerator<Frame>;
  readonly #socket: Socket;

  constructor({ socket, reader }: HttpAnswer) {
    this.#socket = socket;
    this.frames = readFrames(rawBytes(reader));
  }

  /** Resolves when the other side has room for more. */
  async sendInput(data: Uint8Array): Promise<void> {
    if (this.#socket.destroyed) return;
    this.#socket.write(frameHeader(frameKinds.stdin, data.length));
    if (!this.#socket.write(data)) await drained(this.#socket);
  }

  endInput(): void {
    if (!this.#socket.destroyed) this.#socket.write(frameHeader(frameKinds.stdinEnd, 0));
  }

  resize(rows: number, columns: number): void {
    if (this.#socket.destroyed) return;
    const payload = Buffer.alloc(4);
    payload.writeUInt16BE(rows, 0);
    payload.writeUInt16BE(columns, 2);
    this.#socket.write(Buffer.concat([frameHeader(frameKinds.resize, 4), payload]));
  }

  close(): void {
    this.#socket.destroy();
  }
}

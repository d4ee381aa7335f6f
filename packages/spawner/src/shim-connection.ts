import { closeSync, constants, openSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { join } from 'node:path';
import { encodeHello, FrameReader, type ShimMessage } from './shim-protocol.js';

/** sun_path holds 108 bytes with the NUL. */
const LONGEST_SOCKET_PATH = 107;

/** One connection to a shim: messages in their order, then the end. */
export class ShimConnection {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  /** Undefined: messages wait for the next listener. */
  #receive: ((message: ShimMessage) => void) | undefined;
  #waiting: ShimMessage[] = [];
  /** Settled once the connection is gone, whatever the reason. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      for (const message of this.#reader.push(chunk)) this.#take(message);
    });
    // The reason does not matter: the shim's records say what became of the process.
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  /** Takes over the socket that a shim was born with. */
  static fromDescriptor(descriptor: number): ShimConnection {
    return new ShimConnection(new Socket({ fd: descriptor, readable: true, writable: true }));
  }

  /** Connects to the shim that listens in `directory`, and greets it. */
  static async open(directory: string): Promise<ShimConnection> {
    const connection = await ShimConnection.connect(directory, 'shim.sock');
    connection.send(encodeHello());
    return connection;
  }

  /** Connects to the socket `name` in `directory`, however long its path. */
  static async connect(directory: string, name: string): Promise<ShimConnection> {
    let path = join(directory, name);
    // Too long for a socket address: then by way of the directory's descriptor.
    const descriptor =
      Buffer.byteLength(path) > LONGEST_SOCKET_PATH
        ? openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
        : undefined;
    if (descriptor !== undefined) path = `/proc/self/fd/${descriptor}/${name}`;
    try {
      const socket = connect({ path, allowHalfOpen: false });
      await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
      return new ShimConnection(socket);
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }

  #take(message: ShimMessage): void {
    if (this.#receive === undefined) this.#waiting.push(message);
    else this.#receive(message);
  }

  /** From now on messages go to `receive`; those that came before, first. */
  listen(receive: (message: ShimMessage) => void): void {
    this.#receive = receive;
    // `receive` may stop listening in between.
    for (let message; this.#receive === receive && (message = this.#waiting.shift()) !== undefined;)
      receive(message);
  }

  /**
   * The next message that `wanted` accepts; others are dropped. Rejects when the connection ends or time is up; undefined waits
   * as long as the other side lives.
   */
  next<M extends ShimMessage>(
    wanted: (message: ShimMessage) => message is M,
    timeoutMs: number | undefined,
  ): Promise<M> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void =>
        settle(() => reject(new ShimSilence('no answer from the shim in time', true)));
      const timer = timeoutMs === undefined ? undefined : setTimeout(giveUp, timeoutMs);
      let settled = false;
      const settle = (act: () => void): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        this.#receive = undefined;
        act();
      };
      this.listen((message) => {
        if (wanted(message)) settle(() => resolve(message));
      });
      void this.closed.then(() =>
        settle(() => reject(new ShimSilence('the shim closed the connection', false))),
      );
    });
  }

  /** False when the shim does not read as fast: `drained` tells when it has. */
  send(frame: Buffer): boolean {
    return this.#socket.destroyed || this.#socket.write(frame);
  }

  async drained(): Promise<void> {
    if (this.#socket.destroyed || !this.#socket.writableNeedDrain) return;
    await Promise.race([new Promise((resolve) => this.#socket.once('drain', resolve)), this.closed]);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Keeps the process alive no longer. */
  close(): void {
    this.#socket.destroy();
  }
}

/** The shim said nothing more. */
export class ShimSilence extends Error {
  override readonly name = 'ShimSilence';
  readonly timedOut: boolean;

  constructor(message: string, timedOut: boolean) {
    super(message);
    this.timedOut = timedOut;
  }
}

import { GantryError, asGantryError, decodeError, encodeError } from '@gantry/protocol';
import { createInbox, type NatsConnection } from 'nats';
import { frameHeaders, readFrame, type Frame } from './frames.js';

/** Data frames that may be under way unread. With frames of up to 64 KiB this bounds a slow reader to 2 MiB. */
export const streamWindow = 32;
/** How often each end says that it is there, milliseconds. */
const aliveIntervalMs = 5_000;
/** How long an end may be silent before the other gives it up, milliseconds. */
export const silenceLimitMs = 16_000;

const empty = new Uint8Array();

interface StreamEndOptions {
  readonly connection: NatsConnection;
  readonly inboxPrefix: string;
  readonly operation: string;
}

/** One side of a stream: an ordered, flow-controlled, cancellable sequence of byte messages each way. */
export class StreamEnd implements AsyncIterable<Uint8Array> {
  /** Where the other side sends to. */
  readonly inbox: string;
  /** Aborted when the stream is over: cancelled by the other side, lost, ended or closed here. */
  readonly signal: AbortSignal;
  /** The first `accept` of the server; the caller waits for it. */
  readonly accepted: Promise<void>;

  readonly #connection: NatsConnection;
  readonly #operation: string;
  readonly #controller = new AbortController();
  readonly #subscription;
  readonly #aliveTimer;
  #peer = '';
  #credit = streamWindow;
  #sent = 0;
  #received = 0;
  #consumedSinceGrant = 0;
  #lastHeard = Date.now();
  #queue: Uint8Array[] = [];
  #inputEnded = false;
  #failure: GantryError | undefined;
  #closed = false;
  #wakeReader: () => void = () => undefined;
  #waitingWriters: (() => void)[] = [];
  #accept: () => void = () => undefined;
  #refuse: (error: GantryError) => void = () => undefined;

  constructor({ connection, inboxPrefix, operation }: StreamEndOptions) {
    this.#connection = connection;
    this.#operation = operation;
    this.inbox = createInbox(inboxPrefix);
    this.signal = this.#controller.signal;
    this.accepted = new Promise((resolve, reject) => {
      this.#accept = resolve;
      this.#refuse = reject;
    });
    // Only callers wait for it; elsewhere a refusal must not count as unhandled.
    this.accepted.catch(() => undefined);
    this.#subscription = connection.subscribe(this.inbox, {
      callback: (_error, message) => {
        // NATS itself answers where nobody listens: before acceptance no service, later a peer that has gone.
        if (message.headers?.code === 503) {
          if (!this.#inputEnded) this.fail(this.#error('unavailable', 'nobody answers'));
          return;
        }
        const frame = readFrame(message);
        if (frame !== undefined) this.#onFrame(frame);
      },
    });
    this.#aliveTimer = setInterval(() => this.#onTick(), aliveIntervalMs);
  }

  /** Sets where this side sends to; frames that came earlier are kept. */
  connect(peer: string): void {
    this.#peer = peer;
  }

  /** Server side: tells the caller where to send to. */
  accept(): void {
    this.#publish('accept', 0, Buffer.from(this.inbox));
  }

  /** Waits for room in the window. Throws when the stream is over. */
  async send(data: Uint8Array): Promise<void> {
    while (this.#credit === 0 && !this.#closed)
      await new Promise<void>((resolve) => this.#waitingWriters.push(resolve));
    if (this.#closed) throw this.#failure ?? this.#error('unavailable', 'the stream is closed');
    this.#credit -= 1;
    this.#sent += 1;
    this.#publish('data', this.#sent, data);
  }

  /** No more data from this side. The server's end closes the stream. */
  end(): void {
    if (this.#closed) return;
    this.#sent += 1;
    this.#publish('end', this.#sent, empty);
  }

  /** Ends with an error that the other side's reader throws. */
  endWithError(error: unknown): void {
    if (this.#closed) return;
    this.#sent += 1;
    this.#publish('error', this.#sent, encodeError(asGantryError(error, this.#operation)));
  }

  /** Tells the other side that nobody reads any more, and closes. */
  cancel(): void {
    if (this.#closed) return;
    if (this.#peer !== '') this.#publish('cancel', 0, empty);
    this.close();
  }

  /** Frees everything; readers and writers wake. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#aliveTimer);
    this.#subscription.unsubscribe();
    this.#refuse(this.#failure ?? this.#error('unavailable', 'the stream was closed'));
    this.#controller.abort();
    this.#wakeReader();
    this.#wakeWriters();
  }

  fail(error: GantryError): void {
    if (this.#closed) return;
    this.#failure ??= error;
    this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const data = this.#queue.shift();
      if (data !== undefined) {
        this.#grant();
        yield data;
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#inputEnded || this.#closed) return;
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }

  #wakeWriters(): void {
    const writers = this.#waitingWriters;
    this.#waitingWriters = [];
    for (const wake of writers) wake();
  }

  #grant(): void {
    this.#consumedSinceGrant += 1;
    if (this.#consumedSinceGrant < streamWindow / 2 || this.#closed) return;
    this.#publish('credit', this.#consumedSinceGrant, empty);
    this.#consumedSinceGrant = 0;
  }

  #onFrame(frame: Frame): void {
    this.#lastHeard = Date.now();
    switch (frame.kind) {
      case 'accept':
        this.#peer = Buffer.from(frame.data).toString();
        this.#accept();
        return;
      case 'credit':
        this.#credit += frame.number;
        this.#wakeWriters();
        return;
      case 'alive':
        if (frame.number > this.#received) this.#lose(frame.number);
        return;
      case 'cancel':
        this.fail(this.#error('unavailable', 'cancelled by the caller'));
        return;
      case 'data':
      case 'end':
      case 'error':
        if (frame.number !== this.#received + 1) {
          this.#lose(frame.number);
          return;
        }
        this.#received = frame.number;
        this.#take(frame);
    }
  }

  #take(frame: Frame): void {
    if (frame.kind === 'data') this.#queue.push(frame.data);
    else if (frame.kind === 'end') this.#inputEnded = true;
    else {
      const error = decodeError(frame.data);
      this.#inputEnded = true;
      this.#refuse(error);
      this.#failure = error;
    }
    this.#wakeReader();
  }

  /** Frames between were dropped, for instance while the bus restarted: the stream must be opened again. */
  #lose(number: number): void {
    this.fail(this.#error('unavailable', `lost messages ${this.#received + 1} to ${number} of the stream`));
  }

  #onTick(): void {
    if (Date.now() - this.#lastHeard > silenceLimitMs) {
      this.fail(this.#error('unavailable', 'the other side of the stream is silent'));
      return;
    }
    if (this.#peer !== '') this.#publish('alive', this.#sent, empty);
  }

  #publish(kind: Frame['kind'], number: number, data: Uint8Array): void {
    if (this.#connection.isClosed() || this.#connection.isDraining()) return;
    this.#connection.publish(this.#peer, data, { headers: frameHeaders(kind, number), reply: this.inbox });
  }

  #error(code: 'unavailable', reason: string): GantryError {
    return new GantryError({ code, operation: this.#operation, message: `${this.#operation}: ${reason}` });
  }
}

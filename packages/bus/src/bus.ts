import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  GantryError,
  asGantryError,
  decodeError,
  type Codec,
  type Init,
  type Method,
} from '@gantry/protocol';
import {
  ErrorCode as NatsErrorCode,
  NatsError,
  connect,
  headers,
  nkeyAuthenticator,
  type NatsConnection,
} from 'nats';
import type { BusMetrics } from './bus-metrics.js';
import { clientStream, type ClientStream } from './client-stream.js';
import { ConnectionWatch } from './connection-watch.js';
import { listServices, type ServiceListing } from './service-listing.js';
import { StreamEnd } from './stream-end.js';
import { eventSubject, inboxPrefix, methodSubject } from './subjects.js';

export const headerNames = {
  requestId: 'Gantry-Request-Id',
  deadlineMs: 'Gantry-Deadline-Ms',
  caller: 'Gantry-Caller',
  error: 'Gantry-Error',
  actor: 'Gantry-Actor',
} as const;

/** How long a call waits for a service that is not there (it may be restarting), milliseconds. */
const defaultAbsentServiceWaitMs = 5_000;
const defaultDeadlineMs = 30_000;
/** How long nats-server may take to take a connection, milliseconds; then it is tried again. */
const handshakeMs = 2_000;
/** Between tries of a connecting that can be ended, milliseconds. */
const firstDialWaitMs = 50;
const longestDialWaitMs = 400;

export interface BusOptions {
  /** This service's name: its NATS user and inbox prefix. */
  readonly name: string;
  readonly nodeId: string;
  /** "nats://127.0.0.1:4222" */
  readonly natsUrl: string;
  /** Seed of this service's nkey; empty for a bus without authentication (tests). */
  readonly nkeySeed: string;
  readonly metrics: BusMetrics;
  /** Prefix of its inboxes; `_INBOX_<name>` when absent. */
  readonly inbox?: string | undefined;
  /** Subject of a method; that of a service of the own node when absent. */
  readonly subjectFor?: ((service: string, method: string) => string) | undefined;
  /** Prefix of the inbox of a stream that was opened at this subject, on either side; `inbox` when absent. */
  readonly streamInboxFor?: ((subject: string) => string) | undefined;
  /** How long a call waits for a service that nobody offers, milliseconds; 5,000 when absent. */
  readonly absentServiceWaitMs?: number | undefined;
  /** What is said of a service that nobody offers; that it does not run on this node when absent. */
  readonly absent?: ((service: string) => string) | undefined;
  /** Ends the connecting: `connect` rejects, and nothing is tried any more. A connection that stands is closed by `close`. */
  readonly signal?: AbortSignal | undefined;
}

export interface CallOptions {
  /** Milliseconds until `deadline_exceeded`; 30,000 when absent. */
  readonly deadlineMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Follows a request through all services' logs; made up when absent. */
  readonly requestId?: string | undefined;
  /** Another subject than the bus' own for the method. */
  readonly subject?: string | undefined;
  /** Who asked for it, for the audit: "root on <node id>", "token <name>". */
  readonly actor?: string | undefined;
}

export interface StreamOptions {
  readonly signal?: AbortSignal | undefined;
  readonly requestId?: string | undefined;
  /** As in CallOptions. */
  readonly subject?: string | undefined;
  readonly actor?: string | undefined;
}

/** A service's connection to its node's bus: typed calls, streams and events. */
export class Bus {
  readonly nodeId: string;
  readonly name: string;
  /** Prefix of its inboxes, but for streams. */
  readonly inbox: string;
  /** Prefix of the inbox of a stream that was opened at this subject. */
  readonly streamInboxFor: (subject: string) => string;
  /** For the harness, which registers the handlers. */
  readonly connection: NatsConnection;
  readonly #subjectFor: (service: string, method: string) => string;
  readonly #absentServiceWaitMs: number;
  readonly #sayAbsent: (service: string) => string;
  readonly #metrics: BusMetrics;
  readonly #watch: ConnectionWatch;

  private constructor(options: BusOptions, connection: NatsConnection) {
    this.nodeId = options.nodeId;
    this.name = options.name;
    this.inbox = options.inbox ?? inboxPrefix(options.name);
    this.#subjectFor =
      options.subjectFor ?? ((service, method) => methodSubject(options.nodeId, service, method));
    this.streamInboxFor = options.streamInboxFor ?? (() => this.inbox);
    this.#sayAbsent = options.absent ?? ((service) => `service ${service} is not running on this node`);
    this.#absentServiceWaitMs = options.absentServiceWaitMs ?? defaultAbsentServiceWaitMs;
    this.connection = connection;
    this.#metrics = options.metrics;
    this.#watch = new ConnectionWatch(connection);
    this.#watch.onReconnect(() => this.#metrics.reconnects.inc());
  }

  /**
   * Connects, waiting for nats-server to come up for as long as it takes, or until the signal aborts; reconnects for ever
   * afterwards.
   */
  static async connect(options: BusOptions): Promise<Bus> {
    const { signal } = options;
    if (signal === undefined) return new Bus(options, await this.#dial(options, true));
    // The client's own trying cannot be ended.
    for (let waitMs = firstDialWaitMs; ; waitMs = Math.min(waitMs * 2, longestDialWaitMs)) {
      const connection = await this.#dial(options, false).catch(() => undefined);
      if (signal.aborted) {
        await connection?.close();
        throw cancelled('connect');
      }
      if (connection !== undefined) return new Bus(options, connection);
      await sleep(waitMs, undefined, { signal }).catch(() => {
        throw cancelled('connect');
      });
    }
  }

  static #dial(options: BusOptions, waitOnFirstConnect: boolean): Promise<NatsConnection> {
    return connect({
      servers: options.natsUrl,
      name: `gantry-${options.name}`,
      inboxPrefix: options.inbox ?? inboxPrefix(options.name),
      maxReconnectAttempts: -1,
      waitOnFirstConnect,
      // A server that dies between greeting and answer is not noticed by the client before this.
      timeout: handshakeMs,
      reconnectTimeWait: 50,
      reconnectJitter: 50,
      pingInterval: 5_000,
      maxPingOut: 2,
      ignoreAuthErrorAbort: true,
      // Where a cluster's servers tell of each other: the own node's is the only one for its services.
      ignoreClusterUpdates: true,
      // Else each call captures two stacks for errors that almost never happen.
      noAsyncTraces: true,
      ...(options.nkeySeed === ''
        ? {}
        : { authenticator: nkeyAuthenticator(new TextEncoder().encode(options.nkeySeed)) }),
    });
  }

  /**
   * Calls one method of a service on this node. Throws the service's GantryError, or `deadline_exceeded`, or
   * `unavailable` when the service stays away for 5 s. Sent again when the bus was lost in between: handlers are
   * idempotent.
   */
  async call<Request, Response>(
    method: Method<Request, Response, 'unary'>,
    request: Init<Request>,
    options: CallOptions = {},
  ): Promise<Response> {
    const stop = this.#metrics.callSeconds.startTimer({ callee: method.service, method: method.name });
    try {
      const response = await this.#call(method, request, options);
      stop({ code: 'ok' });
      return response;
    } catch (error) {
      const known = asGantryError(error, method.name);
      stop({ code: known.code });
      throw known;
    }
  }

  async #call<Request, Response>(
    method: Method<Request, Response, 'unary'>,
    request: Init<Request>,
    { deadlineMs = defaultDeadlineMs, signal, requestId = randomUUID(), subject, actor }: CallOptions,
  ): Promise<Response> {
    const started = performance.now();
    /** Since when nobody has offered the service, of those asked since the bus was last there. */
    let absentSince: number | undefined;
    const body = method.request.encode(request);
    const where = subject ?? this.#subjectFor(method.service, method.name);
    for (let waitMs = 20; ; waitMs = Math.min(waitMs * 2, 250)) {
      const elapsed = performance.now() - started;
      const left = deadlineMs - elapsed;
      if (left <= 0) throw this.#deadline(method, deadlineMs);
      try {
        await this.#connected(method, left, signal);
        const sent = headers();
        sent.set(headerNames.requestId, requestId);
        sent.set(headerNames.deadlineMs, String(Math.ceil(left)));
        sent.set(headerNames.caller, this.name);
        if (actor !== undefined) sent.set(headerNames.actor, actor);
        const pending = this.connection.request(where, body, { timeout: left, headers: sent });
        const reply = await this.#watch.unlessLost(
          signal === undefined ? pending : abortable(pending, signal, method.name),
        );
        if (reply === undefined) {
          // It was there, and comes back as we do.
          absentSince = undefined;
          continue;
        }
        if (reply.headers?.has(headerNames.error) === true) throw decodeError(reply.data);
        return method.response.decode(reply.data);
      } catch (error) {
        if (!isAbsent(error)) throw this.#translate(error, method, deadlineMs);
        absentSince ??= performance.now();
        if (performance.now() - absentSince > this.#absentServiceWaitMs) throw this.#absent(method, error);
        await sleep(waitMs, undefined, signal === undefined ? {} : { signal }).catch(() => {
          throw cancelled(method.name);
        });
      }
    }
  }

  /** Opens a stream; resolves when the server has accepted it. For duplex methods `first` is the first input. */
  async openStream<Request, Response, Kind extends 'server-stream' | 'duplex'>(
    method: Method<Request, Response, Kind>,
    first: Init<Request>,
    { signal, requestId = randomUUID(), subject, actor }: StreamOptions = {},
  ): Promise<ClientStream<Request, Response>> {
    const started = performance.now();
    const where = subject ?? this.#subjectFor(method.service, method.name);
    const hasLeft = (): boolean => signal?.aborted === true;
    for (let waitMs = 20; ; waitMs = Math.min(waitMs * 2, 250)) {
      const end = new StreamEnd({
        connection: this.connection,
        inboxPrefix: this.streamInboxFor(where),
        operation: method.name,
      });
      try {
        await this.#connected(method, defaultDeadlineMs, signal);
        if (hasLeft()) throw cancelled(method.name);
      } catch (error) {
        end.close();
        throw error;
      }
      const sent = headers();
      sent.set(headerNames.requestId, requestId);
      sent.set(headerNames.caller, this.name);
      if (actor !== undefined) sent.set(headerNames.actor, actor);
      this.connection.publish(where, method.request.encode(first), { headers: sent, reply: end.inbox });
      const cancel = (): void => end.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
      end.signal.addEventListener('abort', () => signal?.removeEventListener('abort', cancel), {
        once: true,
      });
      try {
        await this.#accepted(end, method);
        return clientStream(end, method);
      } catch (error) {
        end.close();
        const again =
          error instanceof GantryError &&
          error.code === 'unavailable' &&
          !hasLeft() &&
          performance.now() - started < this.#absentServiceWaitMs;
        if (!again) throw asGantryError(error, method.name);
        await sleep(waitMs);
      }
    }
  }

  async #accepted<Request, Response>(end: StreamEnd, method: Method<Request, Response>): Promise<void> {
    const timer = setTimeout(() => {
      end.fail(this.#deadline(method, defaultDeadlineMs));
    }, defaultDeadlineMs);
    const lost = (): void => end.fail(this.#absent(method, undefined));
    const stopListening = this.#watch.onLoss(lost);
    try {
      await end.accepted;
    } finally {
      clearTimeout(timer);
      stopListening();
    }
  }

  /** The client forgets what is published while it is disconnected: nothing is sent before the connection stands. */
  async #connected<Request, Response>(
    method: Method<Request, Response>,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (!(await this.#watch.untilConnected(timeoutMs, signal))) throw this.#deadline(method, timeoutMs);
  }

  /** Publishes an event of this node: a hint, never the truth. */
  publishEvent<Event>(kind: string, codec: Codec<Event>, event: Init<Event>): void {
    this.#metrics.eventsPublished.inc({ kind });
    if (!this.connection.isClosed())
      this.connection.publish(eventSubject(this.nodeId, kind), codec.encode(event));
  }

  /** Hears events of this node. Returns the function that stops it. Events are lost while the bus is down. */
  subscribeEvents<Event>(kind: string, codec: Codec<Event>, listener: (event: Event) => void): () => void {
    const subscription = this.connection.subscribe(eventSubject(this.nodeId, kind), {
      callback: (error, message) => {
        if (error === null) listener(codec.decode(message.data));
      },
    });
    return () => {
      if (!this.connection.isClosed()) subscription.unsubscribe();
    };
  }

  /** Calls back after every lost and regained connection: list the truth again. */
  onReconnect(listener: () => void): () => void {
    return this.#watch.onReconnect(listener);
  }

  /** Every service of the node that answers, by name; takes a second at most. */
  listServices(): Promise<ServiceListing[]> {
    return listServices(this.connection, this.inbox);
  }

  /** True while connected to nats-server. */
  get connected(): boolean {
    return !this.connection.isClosed() && this.#watch.connected;
  }

  /** Sends what is buffered and closes; bounded to 2 s when nats-server is away. */
  async close(): Promise<void> {
    if (this.connection.isClosed()) return;
    const drained = this.#watch.connected ? this.connection.drain() : Promise.resolve();
    await Promise.race([drained.catch(() => undefined), sleep(2_000, undefined, { ref: false })]);
    if (!this.connection.isClosed()) await this.connection.close();
  }

  #translate<Request, Response>(
    error: unknown,
    method: Method<Request, Response>,
    deadlineMs: number,
  ): GantryError {
    if (error instanceof GantryError) return error;
    if (error instanceof NatsError) {
      const code: string = error.code;
      if (code === NatsErrorCode.Timeout) return this.#deadline(method, deadlineMs);
      const denied = code === NatsErrorCode.PermissionsViolation;
      return new GantryError({
        code: denied ? 'permission_denied' : 'unavailable',
        operation: method.name,
        object: method.service,
        message: denied
          ? `${this.name} may not call ${method.service}.${method.name}`
          : `cannot reach ${method.service} over the bus: ${error.message}`,
        cause: error,
      });
    }
    return asGantryError(error, method.name);
  }

  #absent<Request, Response>(method: Method<Request, Response>, cause: unknown): GantryError {
    return new GantryError({
      code: 'unavailable',
      operation: method.name,
      object: method.service,
      message: this.#sayAbsent(method.service),
      cause,
    });
  }

  #deadline<Request, Response>(method: Method<Request, Response>, deadlineMs: number): GantryError {
    return new GantryError({
      code: 'deadline_exceeded',
      operation: method.name,
      object: method.service,
      message: `${method.service} did not answer ${method.name} within ${deadlineMs} ms`,
    });
  }
}

const isAbsent = (error: unknown): boolean =>
  error instanceof NatsError && (error.code as string) === (NatsErrorCode.NoResponders as string);

const cancelled = (operation: string): GantryError =>
  new GantryError({
    code: 'deadline_exceeded',
    operation,
    message: `${operation} was cancelled`,
    retryable: true,
  });

async function abortable<T>(pending: Promise<T>, signal: AbortSignal, operation: string): Promise<T> {
  // Whatever comes of it later, nobody waits any more.
  pending.catch(() => undefined);
  if (signal.aborted) throw cancelled(operation);
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(cancelled(operation));
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([pending, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

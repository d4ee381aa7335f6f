import { setTimeout as sleep } from 'node:timers/promises';
import {
  GantryError,
  asGantryError,
  encodeError,
  type Init,
  type Method,
  type ServiceDescriptor,
} from '@gantry/protocol';
import { headers, type Msg, type Service, type ServiceMsg } from 'nats';
import type { Logger } from 'pino';
import { headerNames, type Bus } from './bus.js';
import type { BusMetrics } from './bus-metrics.js';
import { StreamEnd } from './stream-end.js';
import { methodSubject } from './subjects.js';

/** What a handler knows of its call besides the request. */
export interface CallContext {
  readonly requestId: string;
  /** Name that the caller gives itself, for logs. */
  readonly caller: string;
  /** Who asked for it, as the caller says; empty when it says nothing. */
  readonly actor: string;
  /** Where the request came in; see `callerNodeOf`. */
  readonly subject: string;
  /** Aborted at the caller's deadline, or when the caller of a stream has gone, or at shutdown. */
  readonly signal: AbortSignal;
  /** Milliseconds the caller waits from now; Infinity for streams. */
  readonly deadlineMs: number;
  readonly logger: Logger;
}

type Handler<M> =
  M extends Method<infer Request, infer Response, infer Kind>
    ? Kind extends 'unary'
      ? (request: Request, context: CallContext) => Promise<Init<Response>>
      : Kind extends 'server-stream'
        ? (request: Request, context: CallContext) => AsyncIterable<Init<Response>>
        : (inputs: AsyncIterable<Request>, context: CallContext) => AsyncIterable<Init<Response>>
    : never;

/** One handler for every method of a service. */
export type Handlers<S extends ServiceDescriptor> = {
  readonly [M in keyof S['methods']]: Handler<S['methods'][M]>;
};

type AnyMethod = Method<unknown, unknown>;
type UnaryHandler = (request: unknown, context: CallContext) => Promise<Init<unknown>>;
type StreamHandler = (input: unknown, context: CallContext) => AsyncIterable<Init<unknown>>;

interface AnswerOptions {
  readonly bus: Bus;
  readonly descriptor: ServiceDescriptor;
  readonly handlers: Readonly<Record<string, unknown>>;
  readonly metrics: BusMetrics;
  readonly logger: Logger;
  /** Aborted when the service stops. */
  readonly signal: AbortSignal;
}

interface ServeOptions extends AnswerOptions {
  readonly service: Service;
}

interface ServeMethodsOptions extends AnswerOptions {
  /** Subject of each method; may hold wildcards. */
  readonly subjectOf: (method: string) => string;
}

/** Stops taking requests; resolves when those under way are answered, or after two seconds. */
export interface Serving {
  stop(): Promise<void>;
}

const servingStopMs = 2_000;

/** Answers a descriptor's methods by plain subscriptions: for control's leader and for agents, which come and go. */
export function serveMethods(options: ServeMethodsOptions): Serving {
  const stopping = new AbortController();
  const within = { ...options, signal: AbortSignal.any([options.signal, stopping.signal]) };
  const underWay = new Set<Promise<void>>();
  const subscriptions = Object.entries(options.descriptor.methods).map(([name, method]) => {
    const run = method.kind === 'unary' ? answerCall : answerStream;
    return options.bus.connection.subscribe(options.subjectOf(name), {
      callback: (error, message) => {
        if (error !== null) return;
        const answered = run(within, method, message).finally(() => underWay.delete(answered));
        underWay.add(answered);
      },
    });
  });
  return {
    async stop() {
      if (!options.bus.connection.isClosed()) for (const one of subscriptions) one.unsubscribe();
      stopping.abort();
      await Promise.race([Promise.allSettled(underWay), sleep(servingStopMs, undefined, { ref: false })]);
    },
  };
}

/** Registers an endpoint for each method of the descriptor. */
export function serve(options: ServeOptions): void {
  for (const [name, method] of Object.entries(options.descriptor.methods)) {
    const subject = methodSubject(options.bus.nodeId, options.descriptor.name, name);
    const run = method.kind === 'unary' ? answerCall : answerStream;
    options.service.addEndpoint(name, {
      subject,
      handler: (_error, message: ServiceMsg) => void run(options, method, message),
    });
  }
}

async function answerCall(options: AnswerOptions, method: AnyMethod, message: Msg): Promise<void> {
  const { metrics, handlers, signal } = options;
  const stop = metrics.requestSeconds.startTimer({ method: method.name });
  const deadlineMs = Number(message.headers?.get(headerNames.deadlineMs) || '30000');
  const deadline = new AbortController();
  const expire = setTimeout(() => deadline.abort(), deadlineMs);
  const context = contextOf(options, message, AbortSignal.any([deadline.signal, signal]), deadlineMs);
  try {
    const request = decode(method, message.data);
    const response = await (handlers[method.name] as UnaryHandler)(request, context);
    message.respond(method.response.encode(response));
    stop({ code: 'ok' });
  } catch (error) {
    const failure = asGantryError(error, method.name);
    logFailure(context.logger, method.name, failure);
    const sent = headers();
    sent.set(headerNames.error, failure.code);
    stop({ code: failure.code });
    try {
      message.respond(encodeError(failure), { headers: sent });
    } catch (closed) {
      // This service has stopped in the meantime; the caller asks its next life.
      context.logger.info({ operation: method.name, reason: String(closed) }, 'answer not sent');
    }
  } finally {
    clearTimeout(expire);
  }
}

async function answerStream(options: AnswerOptions, method: AnyMethod, message: Msg): Promise<void> {
  const { bus, metrics, handlers, signal } = options;
  if (message.reply === undefined || message.reply === '') return;
  const stop = metrics.requestSeconds.startTimer({ method: method.name });
  metrics.openStreams.inc({ method: method.name });
  const end = new StreamEnd({
    connection: bus.connection,
    inboxPrefix: bus.streamInboxFor(message.subject),
    operation: method.name,
  });
  end.connect(message.reply);
  const context = contextOf(options, message, AbortSignal.any([end.signal, signal]), Infinity);
  const onShutdown = (): void => {
    end.endWithError(
      new GantryError({ code: 'unavailable', operation: method.name, message: `${bus.name} is stopping` }),
    );
    end.close();
  };
  signal.addEventListener('abort', onShutdown, { once: true });
  try {
    const request = decode(method, message.data);
    end.accept();
    const input = method.kind === 'duplex' ? inputsOf(end, method, request) : request;
    for await (const response of (handlers[method.name] as StreamHandler)(input, context))
      await end.send(method.response.encode(response));
    end.end();
    stop({ code: 'ok' });
  } catch (error) {
    // When the caller has gone there is nobody to tell, and nothing worth a log line.
    const gone = end.signal.aborted;
    const failure = asGantryError(error, method.name);
    if (!gone) logFailure(context.logger, method.name, failure);
    end.endWithError(failure);
    stop({ code: gone ? 'ok' : failure.code });
  } finally {
    signal.removeEventListener('abort', onShutdown);
    end.close();
    metrics.openStreams.dec({ method: method.name });
  }
}

async function* inputsOf(end: StreamEnd, method: AnyMethod, first: unknown): AsyncGenerator {
  yield first;
  for await (const data of end) yield decode(method, data);
}

function decode(method: AnyMethod, data: Uint8Array): unknown {
  try {
    return method.request.decode(data);
  } catch (error) {
    throw new GantryError({
      code: 'invalid_argument',
      operation: method.name,
      message: `the request of ${method.name} cannot be decoded`,
      cause: error,
    });
  }
}

function contextOf(
  options: AnswerOptions,
  message: Msg,
  signal: AbortSignal,
  deadlineMs: number,
): CallContext {
  const requestId = message.headers?.get(headerNames.requestId) ?? '';
  const caller = message.headers?.get(headerNames.caller) ?? '';
  const actor = message.headers?.get(headerNames.actor) ?? '';
  const { subject } = message;
  return {
    requestId,
    caller,
    actor,
    subject,
    signal,
    deadlineMs,
    logger: options.logger.child({ request: requestId }),
  };
}

/** What the caller asked wrongly is the caller's news; what broke here is ours. */
function logFailure(logger: Logger, operation: string, failure: GantryError): void {
  const ours = failure.code === 'internal' || failure.code === 'data_loss';
  const fields = { operation, object: failure.object, code: failure.code, reason: failure.message };
  if (ours) logger.error({ ...fields, err: failure.cause ?? failure }, 'request failed');
  else logger.info(fields, 'request refused');
}

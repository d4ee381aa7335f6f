import type { CallContext, Handlers } from '@gantry/bus';
import { control, isGantryError, type Method } from '@gantry/protocol';
import type { Caller } from '../context.js';
import { refusal } from '../refuse.js';

/** What the relay must know of the node's place in its cluster. */
export interface RelayPlace {
  readonly role: 'control' | 'worker';
  /** "ADDRESS:PORT" of control nodes' apis. */
  readonly controlAddresses: readonly string[];
  /** Undefined until the connection to the cluster's account stands. */
  readonly bus: Caller | undefined;
  /** The lease runs: there is a leader, and it hears this node. */
  readonly connected: boolean;
}

type AnyMethod = Method<unknown, unknown>;

/**
 * The methods of `Control` as this node's api calls them, handed on to whichever node leads: request, deadline, request
 * id and actor go on unchanged, and so do answers and errors.
 */
export function createRelay(place: () => RelayPlace | undefined): Handlers<typeof control.Control> {
  const handlers = Object.entries(control.Control.methods as Readonly<Record<string, AnyMethod>>).map(
    ([name, method]) => [
      name,
      method.kind === 'unary'
        ? (request: unknown, context: CallContext) => relayCall(place, method, request, context)
        : (request: unknown, context: CallContext) => relayStream(place, method, request, context),
    ],
  );
  return Object.fromEntries(handlers) as Handlers<typeof control.Control>;
}

async function relayCall(
  place: () => RelayPlace | undefined,
  method: AnyMethod,
  request: unknown,
  { requestId, actor, deadlineMs, signal }: CallContext,
): Promise<object> {
  const bus = wayToControl(place(), method.name);
  try {
    const unary = method as Method<unknown, object, 'unary'>;
    return await bus.call(unary, request as object, { requestId, actor, deadlineMs, signal });
  } catch (error) {
    throw orLeaderless(error, place(), method.name);
  }
}

async function* relayStream(
  place: () => RelayPlace | undefined,
  method: AnyMethod,
  request: unknown,
  { requestId, actor, signal }: CallContext,
): AsyncGenerator<object> {
  const bus = wayToControl(place(), method.name);
  try {
    const stream = method as Method<unknown, object, 'server-stream'>;
    yield* await bus.openStream(stream, request as object, { requestId, actor, signal });
  } catch (error) {
    throw orLeaderless(error, place(), method.name);
  }
}

function wayToControl(place: RelayPlace | undefined, operation: string): Caller {
  if (place === undefined)
    throw refusal(
      'failed_precondition',
      operation,
      '',
      'this node is in no cluster: run gantry cluster init, or gantry cluster join',
    );
  if (place.role !== 'control')
    throw refusal(
      'failed_precondition',
      operation,
      '',
      `this node is a worker; ask a control node (${place.controlAddresses.join(', ') || 'none is known'})`,
    );
  return place.bus ?? noLeader(operation);
}

/** That nobody answers means, to people, that nobody leads. */
function orLeaderless(error: unknown, place: RelayPlace | undefined, operation: string): unknown {
  const silent = isGantryError(error, 'unavailable') || isGantryError(error, 'deadline_exceeded');
  return silent && place?.connected === false ? leaderless(operation, error) : error;
}

function noLeader(operation: string): never {
  throw leaderless(operation);
}

function leaderless(operation: string, cause?: unknown): Error {
  return refusal(
    'unavailable',
    operation,
    '',
    'the cluster has no leader now: more than half of its control nodes must run and reach each other',
    cause,
  );
}

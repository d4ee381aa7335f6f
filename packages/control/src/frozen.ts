import { setTimeout as sleep } from 'node:timers/promises';
import { callerNodeOf, type CallContext, type Serving } from '@gantry/bus';
import type { MembershipRecord } from '@gantry/membership';
import { GantryError, control, type ServiceDescriptor } from '@gantry/protocol';
import type { Store } from './store.js';
import { firstContents, writeSeed } from './store-seed.js';

/** How often it is looked whether the store is back, milliseconds. */
const lookIntervalMs = 1_000;
const ownDelayMs = 1_500;

interface FrozenOptions {
  readonly nodeId: string;
  readonly reason: string;
  readonly membership: MembershipRecord;
  readonly view: control.ClusterView;
  /** What there is of a store; undefined when there is nothing to take over. */
  readonly store: Store | undefined;
  readonly stateDirectory: string;
  readonly serve: (descriptor: ServiceDescriptor, handlers: object, until: AbortSignal) => Serving;
  /** Whether the reason is gone. */
  readonly hasChanged: () => Promise<boolean>;
  readonly signal: AbortSignal;
}

/**
 * Decides nothing, and says why, until the store is back or the operator accepts it as it is. Then the next generation is made
 * of what there is, and the agents are told; nothing of theirs is stopped before a leader has spoken.
 */
export async function serveFrozen(options: FrozenOptions): Promise<void> {
  const { nodeId, view, signal, serve } = options;
  const over = new AbortController();
  const until = AbortSignal.any([signal, over.signal]);
  // Of several frozen control nodes one speaks.
  const [speaker] = view.members
    .filter(({ role }) => role === 'NODE_ROLE_CONTROL')
    .map((member) => member.nodeId)
    .sort();
  const caretaker = new Caretaker(options);
  const serving =
    speaker === nodeId
      ? [
          serve(control.Control, frozenHandlers(options, caretaker), until),
          serve(control.Dispatcher, caretaker.dispatchHandlers(until), until),
        ]
      : [];
  try {
    while (!signal.aborted) {
      await sleep(lookIntervalMs, undefined, { signal }).catch(() => undefined);
      if (await options.hasChanged().catch(() => false)) return;
    }
  } finally {
    over.abort();
    await Promise.all(serving.map((one) => one.stop()));
  }
}

/** Every method refuses with the reason, but those that say and end it. */
function frozenHandlers({ reason, membership, view }: FrozenOptions, caretaker: Caretaker): object {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new GantryError({
        code: 'failed_precondition',
        operation: 'control',
        object: membership.clusterId,
        message: `the cluster is frozen: ${reason}. Bring the store back, or take it as it is with gantry cluster accept-store`,
      }),
    );
  const refuseStream = async function* (): AsyncGenerator<never> {
    yield await refuse();
  };
  const methods = Object.entries(control.Control.methods).map(([name, { kind }]) => [
    name,
    kind === 'unary' ? refuse : refuseStream,
  ]);
  const controls = view.members.filter(({ role }) => role === 'NODE_ROLE_CONTROL').length;
  return {
    ...(Object.fromEntries(methods) as object),
    GetCluster: () =>
      Promise.resolve({
        clusterId: membership.clusterId,
        controlNodes: controls,
        workers: view.members.length - controls,
        storeGeneration: view.storeGeneration,
        revision: view.revision,
        frozenReason: reason,
      }),
    AcceptStore: async () => ({ storeGeneration: await caretaker.accept() }),
  };
}

/** Tells agents of the generation that the operator has asked for, and of nothing else. */
class Caretaker {
  readonly #options: FrozenOptions;
  #accepted: control.ClusterView | undefined;
  #wake: (() => void)[] = [];

  constructor(options: FrozenOptions) {
    this.#options = options;
  }

  async accept(): Promise<number> {
    const { store, membership, view, stateDirectory, nodeId, signal } = this.#options;
    const generation = view.storeGeneration + 1;
    if (this.#accepted === undefined) {
      const found = store === undefined ? new Map<string, Uint8Array>() : await store.load(0, signal);
      // Without a single node in it the members would be strangers to their own cluster.
      const hasNodes = [...found.keys()].some((key) => key.startsWith('node.'));
      const contents = hasNodes ? found : new Map([...firstContents(membership, view, ''), ...found]);
      writeSeed(stateDirectory, generation, contents);
      this.#accepted = { ...view, revision: 0, storeGeneration: generation, seedingNodeId: nodeId };
      for (const wake of this.#wake.splice(0)) wake();
    }
    return generation;
  }

  dispatchHandlers(until: AbortSignal): object {
    const { membership, nodeId } = this.#options;
    const refuse = (): Promise<never> =>
      Promise.reject(
        new GantryError({
          code: 'unavailable',
          operation: 'dispatch',
          object: membership.clusterId,
          message: 'the cluster is frozen',
          retryable: true,
        }),
      );
    const watch = async function* (
      this: Caretaker,
      _request: control.WatchTasksRequest,
      { subject }: CallContext,
    ): AsyncGenerator<control.WatchTasksResponse> {
      if (this.#accepted === undefined)
        await new Promise<void>((resolve) => {
          this.#wake.push(resolve);
          until.addEventListener('abort', () => resolve(), { once: true });
        });
      const accepted = this.#accepted;
      if (accepted === undefined) return;
      // This node's server changes as soon as its agent knows: the others hear of it first.
      if (callerNodeOf(subject) === nodeId)
        await sleep(ownDelayMs, undefined, { signal: until }).catch(() => undefined);
      yield {
        tasks: [],
        removedTaskIds: [],
        complete: false,
        view: accepted,
        term: 0,
        clusterId: membership.clusterId,
        storeGeneration: accepted.storeGeneration,
        // The new generation counts anew.
        revision: 0,
      };
    }.bind(this);
    return { WatchTasks: watch, ReportStatus: refuse, RenewLease: refuse, LeaveCluster: refuse };
  }
}

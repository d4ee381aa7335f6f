import { setTimeout as sleep } from 'node:timers/promises';
import { controlSubjects, serveMethods, type Bus, type BusMetrics, type Serving } from '@gantry/bus';
import { readMembership, readView, type MembershipRecord } from '@gantry/membership';
import { GantryError, asGantryError, control } from '@gantry/protocol';
import type { Logger } from 'pino';
import type { ControlConfig } from './config.js';
import { dispatchHandlers } from './dispatch.js';
import { Beat, becomeLeader, keepLeading, type Sign } from './election.js';
import { EventLog } from './events.js';
import { Generations } from './generations.js';
import { serveFrozen } from './frozen.js';
import { Leases } from './leases.js';
import type { ControlFigures, ControlMetrics } from './metrics.js';
import { figuresOf, noFigures } from './figures.js';
import { Reign } from './reign.js';
import { SeenStore } from './seen.js';
import { controlHandlers, leaveCluster } from './service.js';
import { ClusterState } from './state.js';
import { Store } from './store.js';
import { fillStore, removeSeed } from './store-seed.js';
import { viewFor } from './views.js';

/** How long after a try that failed the next one is made, milliseconds. */
const retryMs = 300;
/** How often the marks of removed entries are taken out of the store, milliseconds. */
const tidyIntervalMs = 600_000;

export interface ControlNodeOptions {
  readonly nodeId: string;
  readonly version: string;
  readonly hostname: string;
  readonly config: ControlConfig;
  /** In the account CLUSTER. */
  readonly bus: Bus;
  readonly busMetrics: BusMetrics;
  readonly metrics: ControlMetrics;
  /** Nodes whose nats-server is connected. */
  readonly connectedNodes: (controlNodes: number) => Promise<ReadonlySet<string>>;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** The place of this node in its cluster, read anew at every try. */
interface Place {
  readonly membership: MembershipRecord;
  readonly view: control.ClusterView;
}

/**
 * One control node: finds the store, waits for its turn to lead, leads, and begins again.
 *
 * ```
 *   find the store ──> candidate ──> leader (a Reign) ──┐
 *    ▲  │  │ absent, foreign, older than seen           │ not renewed, overtaken, moved
 *    │  │  └──> frozen ──accepted──> next generation    │
 *    │  └ of a new generation: fill it, or wait         │
 *    └──────────────────────────────────────────────────┘
 * ```
 */
export class ControlNode {
  readonly #options: ControlNodeOptions;
  readonly #seen: SeenStore;
  #reign: Reign | undefined;
  #sign: (Sign & { readonly generation: number }) | undefined;
  #frozenReason = '';
  #term = 0;
  #revision = 0;

  constructor(options: ControlNodeOptions) {
    this.#options = options;
    this.#seen = new SeenStore(options.config.state_dir);
  }

  /** Runs until the signal aborts; no failure ends it. */
  async run(): Promise<void> {
    const { signal, logger } = this.#options;
    let told = '';
    while (!signal.aborted) {
      try {
        await this.#once();
        told = '';
      } catch (error) {
        const { message } = asGantryError(error, 'control');
        if (!signal.aborted && message !== told) logger.warn({ reason: message }, 'no store to lead with');
        told = message;
      }
      await sleep(retryMs, undefined, { signal }).catch(() => undefined);
    }
  }

  figures(): ControlFigures {
    const common = { term: this.#term, revision: this.#revision, frozen: this.#frozenReason !== '' };
    return this.#reign === undefined ? { ...noFigures, ...common } : { ...figuresOf(this.#reign), ...common };
  }

  /** Undefined when well, else one sentence. */
  get unhealthy(): string | undefined {
    return this.#frozenReason === '' ? undefined : this.#frozenReason;
  }

  #signOf(generation: number): Sign {
    if (this.#sign?.generation !== generation)
      this.#sign = { generation, beat: '', heardAtMs: performance.now() };
    return this.#sign;
  }

  #place(): Place {
    const { state_dir } = this.#options.config;
    const membership = readMembership(state_dir);
    const view = readView(state_dir);
    if (membership?.role === 'control' && view !== undefined) return { membership, view };
    throw new GantryError({
      code: 'failed_precondition',
      operation: 'control',
      object: state_dir,
      message: 'this node is not a control node of a cluster',
    });
  }

  async #once(): Promise<void> {
    const place = this.#place();
    const found = await this.#findStore(place);
    if (found.frozen !== undefined) return this.#freeze(place, found.frozen, found.store);
    this.#frozenReason = '';
    if (found.store !== undefined) await this.#contest(place, found.store);
  }

  /** The store, when it is whole and no older than what was seen; or why it must not be used. */
  async #findStore({ membership, view }: Place): Promise<{ store?: Store; frozen?: string }> {
    const { bus, nodeId, metrics, config, logger, hostname, signal } = this.#options;
    const { clusterId } = membership;
    const { storeGeneration: generation } = view;
    const seen = this.#seen.get(clusterId, generation);
    const mayFill = view.seedingNodeId === nodeId && seen === undefined;
    let store = await Store.open(bus.connection, generation, metrics.writeSeconds);
    if (store === undefined && mayFill) {
      const controls = view.members.filter(({ role }) => role === 'NODE_ROLE_CONTROL').length;
      store = await Store.create(bus.connection, generation, controls, metrics.writeSeconds);
    }
    if (store === undefined) {
      if (seen === undefined) throw notYet('the store of this cluster is not there yet');
      return {
        frozen: `the store is lost: this node has seen it up to revision ${seen.revision}, and there is none now`,
      };
    }
    let meta = await store.readMeta();
    if (meta === undefined && mayFill) {
      await fillStore(store, config.state_dir, membership, view, hostname, signal);
      meta = await store.readMeta();
      logger.info({ generation }, 'store filled');
    }
    if (meta === undefined) {
      if (seen === undefined) throw notYet('the store of this cluster is being filled');
      return { store, frozen: 'the store is not whole: it has no meta entry' };
    }
    if (meta.clusterId !== clusterId)
      return {
        frozen: `the store is that of cluster ${meta.clusterId}, and this node is a member of ${clusterId}`,
      };
    const revision = await store.lastRevision();
    if (seen !== undefined && revision < seen.revision)
      return {
        store,
        frozen: `the store is older than what this node has seen: it is at revision ${revision}, and was at ${seen.revision}`,
      };
    this.#note(clusterId, generation, revision);
    // Whole, and so of no use any more: what the seed holds is secret.
    removeSeed(config.state_dir, generation);
    return { store };
  }

  async #contest(place: Place, store: Store): Promise<void> {
    const { nodeId, config, signal, logger } = this.#options;
    const check = (): void => {
      if (this.#place().view.storeGeneration !== store.generation) throw notYet('the store has been moved');
      this.#note(place.membership.clusterId, store.generation, store.revision);
    };
    const { term, revision } = await becomeLeader({
      store,
      nodeId,
      leaderLeaseMs: config.leader_lease_ms,
      sign: this.#signOf(store.generation),
      signal,
      check,
    });
    this.#term = term;
    const stopping = new AbortController();
    const either = AbortSignal.any([signal, stopping.signal]);
    const heart = new Beat();
    const leading = keepLeading(store, nodeId, term, heart, either);
    try {
      const state = ClusterState.from(await store.load(revision, either));
      await this.#lead(place, store, state, term, leading, heart);
    } finally {
      stopping.abort();
      await leading;
      logger.info({ term }, 'does not lead any more');
    }
  }

  async #lead(
    { membership }: Place,
    store: Store,
    state: ClusterState,
    term: number,
    leading: Promise<string>,
    heart: Beat,
  ): Promise<void> {
    const { nodeId, version, config, bus, metrics, connectedNodes, logger, signal } = this.#options;
    const { clusterId } = membership;
    const nowMs = monotonicClock();
    const leases = new Leases({
      nowMs,
      leaseMs: config.lease_ms,
      restartLeaseMs: config.restart_lease_ms,
      evidence: () =>
        connectedNodes([...state.nodes.values()].filter(({ role }) => role === 'NODE_ROLE_CONTROL').length),
      onChange: (id) => {
        events.publish('node', leases.conditionOf(id), id, { name: state.nodes.get(id)?.hostname ?? id });
        reign.nodeChanged();
      },
      expired: () => metrics.leasesExpired.inc(),
    });
    const events = new EventLog();
    const reign = new Reign({
      store,
      state,
      term,
      leases,
      metrics,
      events,
      logger,
      nowMs,
      keptTasks: config.kept_tasks,
      mayAct: () => heart.leftMs > 0,
    });
    this.#reign = reign;
    leases.grantAll(state.nodes.keys());
    for (const { nodeId: id, maintenance } of state.nodes.values()) if (maintenance) leases.renew(id, true);
    const generations = new Generations({
      reign,
      nodeId,
      clusterId,
      stateDirectory: config.state_dir,
      logger,
    });
    const viewOf = (id: string): control.ClusterView =>
      viewFor(id, generations.nodesFor(id), state.apiTokens.values(), {
        clusterId,
        revision: store.revision,
        ...generations.frameFor(id),
      });
    const parts = {
      reign,
      nodeId,
      version,
      clusterId,
      stateDirectory: config.state_dir,
      bus,
      viewOf,
    };
    const serving = [
      ...serveAll(this.#options, control.Control, controlHandlers(parts), reign.signal),
      ...serveAll(
        this.#options,
        control.Dispatcher,
        dispatchHandlers({
          reign,
          nodeId,
          clusterId,
          leaseMs: config.lease_ms,
          viewOf,
          behind: (revision) => {
            // Remembered like what this node has seen itself: the next look at the store freezes.
            this.#note(clusterId, store.generation, revision);
            reign.end('a member has seen a later revision of the store');
          },
          leave: (id) => leaveCluster(reign, id),
        }),
        reign.signal,
      ),
    ];
    await bus.connection.flush();
    logger.info({ term, nodes: state.nodes.size, tasks: state.tasks.size }, 'leads the cluster');
    events.publish('cluster', 'leader', nodeId, { term: String(term) });
    const onStop = (): void => reign.end('control is stopping');
    signal.addEventListener('abort', onStop, { once: true });
    const noting = setInterval(() => this.#note(clusterId, store.generation, store.revision), 1_000);
    const tidying = setInterval(() => void store.forgetRemovals().catch(() => undefined), tidyIntervalMs);
    void leading.then((reason) => reign.end(reason));
    const grow = (): void => {
      generations.growWhenDue().catch((error: unknown) => {
        logger.warn({ reason: asGantryError(error, 'grow').message }, 'the store cannot be moved yet');
      });
    };
    const stopGrowing = reign.onChange(grow);
    try {
      grow();
      await reign.decide();
    } finally {
      clearInterval(noting);
      clearInterval(tidying);
      stopGrowing();
      signal.removeEventListener('abort', onStop);
      reign.end('control begins again');
      this.#reign = undefined;
      await Promise.all(serving.map((one) => one.stop()));
      if (reign.endedBecause !== '') logger.warn({ reason: reign.endedBecause }, 'leadership ends');
    }
  }

  async #freeze({ membership, view }: Place, reason: string, store: Store | undefined): Promise<void> {
    const { nodeId, config, logger, signal } = this.#options;
    this.#frozenReason = reason;
    logger.error({ reason }, 'frozen: nothing is decided until the store is back or is accepted as it is');
    await serveFrozen({
      nodeId,
      reason,
      membership,
      view,
      store,
      stateDirectory: config.state_dir,
      serve: (descriptor, handlers, until) => serveAll(this.#options, descriptor, handlers, until)[0],
      hasChanged: async () => {
        const now = this.#place();
        if (now.view.storeGeneration !== view.storeGeneration) return true;
        const found = await this.#findStore(now).catch(() => undefined);
        return found !== undefined && found.frozen === undefined;
      },
      signal,
    });
  }

  #note(clusterId: string, generation: number, revision: number): void {
    this.#revision = revision;
    this.#seen.note({ clusterId, generation, revision });
  }
}

function serveAll(
  { bus, busMetrics, logger }: ControlNodeOptions,
  descriptor: Parameters<typeof serveMethods>[0]['descriptor'],
  handlers: object,
  signal: AbortSignal,
): [Serving] {
  return [
    serveMethods({
      bus,
      descriptor,
      handlers: handlers as Readonly<Record<string, unknown>>,
      subjectOf: controlSubjects,
      metrics: busMetrics,
      logger,
      signal,
    }),
  ];
}

/** Wall time that never jumps: it goes on from where it was with the machine's monotonic clock. */
function monotonicClock(): () => number {
  const wall = Date.now();
  const started = performance.now();
  return () => Math.round(wall + performance.now() - started);
}

const notYet = (message: string): GantryError =>
  new GantryError({ code: 'unavailable', operation: 'control', object: 'store', message, retryable: true });

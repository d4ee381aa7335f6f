import { agentSubject, connectCluster, serveMethods, type Bus, type Serving } from '@gantry/bus';
import type { MembershipRecord } from '@gantry/membership';
import { type control, node } from '@gantry/protocol';
import type { Agent } from '../agent.js';
import { reasonOf } from '../refuse.js';
import type { ClusterEnvironment } from './cluster.js';
import { Lease } from './lease.js';
import { nodeStatus } from './node-status.js';
import { createClusterAgent } from './task-output.js';
import { TaskWatch } from './task-watch.js';

/** What the cluster side makes of what comes in. */
export interface LinkListeners {
  readonly watchRequest: () => control.WatchTasksRequest;
  /** The connection stands: reports may go. */
  readonly connected: (bus: Bus) => void;
  /** A stream begins: what comes first is the whole. */
  readonly opened: () => void;
  /** False: these orders are not followed. */
  readonly orders: (message: control.WatchTasksResponse, leaderTerm: number) => boolean;
}

/** One connection to the cluster's account, from the moment the node is a member until it is none or the agent stops. */
export class ClusterLink {
  readonly #closing = new AbortController();
  readonly #agent: Agent;
  readonly #environment: ClusterEnvironment;
  readonly #role: () => MembershipRecord['role'];
  readonly #listeners: LinkListeners;
  readonly #done: Promise<void>;
  #bus: Bus | undefined;
  #lease: Lease | undefined;
  #watch: TaskWatch | undefined;
  readonly #heldListeners = new Set<(lease: Lease) => void>();

  constructor(
    agent: Agent,
    environment: ClusterEnvironment,
    role: () => MembershipRecord['role'],
    listeners: LinkListeners,
  ) {
    this.#agent = agent;
    this.#environment = environment;
    this.#role = role;
    this.#listeners = listeners;
    this.#done = this.#run().catch((error: unknown) => {
      agent.context.logger.error({ reason: reasonOf(error) }, 'the connection to the cluster ended');
    });
  }

  get bus(): Bus | undefined {
    return this.#bus;
  }

  get lease(): Lease | undefined {
    return this.#lease;
  }

  reopenWatch(): void {
    this.#watch?.reopen();
  }

  /** Resolves when the lease is held, or after `deadlineMs`; tells which. */
  async untilHeld(deadlineMs: number): Promise<boolean> {
    const { signal } = this.#closing;
    const begun = performance.now();
    const lease =
      this.#lease ??
      (await new Promise<Lease | undefined>((resolve) => {
        const timer = setTimeout(() => resolve(undefined), deadlineMs);
        signal.addEventListener('abort', () => (clearTimeout(timer), resolve(undefined)), { once: true });
        this.#heldListeners.add((made) => {
          clearTimeout(timer);
          resolve(made);
        });
      }));
    const leftMs = Math.max(1, deadlineMs - (performance.now() - begun));
    return (await lease?.untilHeld(leftMs, signal)) ?? false;
  }

  /** @param goesDown - the agent stops, and will be back: control is told */
  async close(goesDown: boolean): Promise<void> {
    if (goesDown && this.#lease?.held === true) await this.#lease.announceMaintenance();
    this.#closing.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { nodeId, logger } = this.#agent.context;
    const { natsUrl, nkeySeed, busMetrics: metrics } = this.#environment;
    const bus = await connectCluster('agent', { nodeId, natsUrl, nkeySeed, metrics, signal }).catch(
      (error: unknown) => {
        if (signal.aborted) return undefined;
        throw error;
      },
    );
    if (bus === undefined) return;
    this.#bus = bus;
    const serving = this.#serve(bus);
    const watch = new TaskWatch({
      bus,
      request: this.#listeners.watchRequest,
      onOpen: this.#listeners.opened,
      onMessage: (message) => this.#listeners.orders(message, lease.term),
      debug: (fields, message) => logger.debug(fields, message),
    });
    const lease = new Lease({
      bus,
      status: () => nodeStatus(this.#agent.context, this.#agent.registry, this.#role()),
      warn: (fields, message) => logger.warn(fields, message),
      onBreak: () => watch.reopen(),
    });
    this.#watch = watch;
    this.#lease = lease;
    for (const tell of this.#heldListeners) tell(lease);
    const stopListening = bus.onReconnect(() => watch.reopen());
    this.#listeners.connected(bus);
    await Promise.all([watch.run(signal), lease.run(signal)]);
    stopListening();
    await serving.stop();
    await bus.close();
  }

  #serve(bus: Bus): Serving {
    const { context, registry } = this.#agent;
    return serveMethods({
      bus,
      descriptor: node.ClusterAgent,
      handlers: createClusterAgent(context, registry) as unknown as Readonly<Record<string, unknown>>,
      subjectOf: (method) => agentSubject(context.nodeId, method),
      metrics: this.#environment.busMetrics,
      logger: context.logger,
      signal: this.#closing.signal,
    });
  }
}

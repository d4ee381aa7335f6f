import type { BusMetrics } from '@gantry/bus';
import {
  readMembership,
  readView,
  writeMembership,
  writeView,
  type MembershipRecord,
} from '@gantry/membership';
import type { control } from '@gantry/protocol';
import type { Agent } from '../agent.js';
import { reasonOf } from '../refuse.js';
import { ClusterLink } from './cluster-link.js';
import { finishLeave } from './leave.js';
import { discardStores, forgetCluster, isLeaving, writeMember, type NewMember } from './member-files.js';
import type { RelayPlace } from './relay.js';
import { judgeOrders, readSeen, seenAfter, writeSeen, type Seen } from './seen.js';
import { StatusReports } from './status-reports.js';
import { TaskRunner } from './task-runner.js';

/** What the cluster's side of the agent is told by the harness. */
export interface ClusterEnvironment {
  readonly natsUrl: string;
  /** Seed of this agent's nkey in the account CLUSTER. */
  readonly nkeySeed: string;
  readonly busMetrics: BusMetrics;
}

/** High-water marks are a safeguard, not a record of each step: written this often at most, milliseconds. */
const SEEN_INTERVAL_MS = 1_000;

/** This node's place in a cluster: what it is member of, its connection, what it has seen, and its tasks. */
export class Cluster {
  readonly agent: Agent;
  readonly runner: TaskRunner;
  readonly #environment: ClusterEnvironment;
  readonly #reports: StatusReports;
  #membership: MembershipRecord | undefined;
  #view: control.ClusterView | undefined;
  #link: ClusterLink | undefined;
  #seen: Seen | undefined;
  #seenTimer: NodeJS.Timeout | undefined;
  #frozenReason = '';
  /** Task ids that the stream has named so far; undefined once its first list is whole. */
  #named: Set<string> | undefined;
  /** The node leaves: control's orders are not followed any more. */
  #leaving = false;
  #stopped = false;
  #leaveFinished: Promise<void> = Promise.resolve();

  constructor(agent: Agent, environment: ClusterEnvironment) {
    this.agent = agent;
    this.#environment = environment;
    const { logger } = agent.context;
    this.#reports = new StatusReports((fields, message) => logger.warn(fields, message));
    this.runner = new TaskRunner(agent, this.#reports);
  }

  get membership(): MembershipRecord | undefined {
    return this.#membership;
  }

  get view(): control.ClusterView | undefined {
    return this.#view;
  }

  get link(): ClusterLink | undefined {
    return this.#link;
  }

  /** The agent stops. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Settles when a leave that an earlier agent began has come to its end; at once when there is none. Never rejects. */
  get leaveFinished(): Promise<void> {
    return this.#leaveFinished;
  }

  /** Why no orders are followed; empty when they are. */
  get frozenReason(): string {
    return this.#frozenReason;
  }

  get connected(): boolean {
    return this.#link?.lease?.held === true;
  }

  /** "ADDRESS:PORT" of the control nodes' apis. */
  get controlAddresses(): readonly string[] {
    return (this.#view?.members ?? [])
      .filter(({ role }) => role === 'NODE_ROLE_CONTROL')
      .map(({ address, apiPort }) => `${address.includes(':') ? `[${address}]` : address}:${apiPort}`);
  }

  relayPlace(): RelayPlace | undefined {
    const { membership, controlAddresses, connected } = this;
    if (membership === undefined) return undefined;
    return { role: membership.role, controlAddresses, bus: this.#link?.bus, connected };
  }

  /** Goes on as the member that the files say this node is. */
  start(): void {
    const { context } = this.agent;
    try {
      const membership = readMembership(context.config.state_dir);
      const view = readView(context.config.state_dir);
      // Killed when it had left, but not yet forgotten all of it.
      if (membership === undefined && isLeaving(context.config.state_dir))
        forgetCluster(context.config.state_dir);
      if (membership !== undefined && view !== undefined) this.#begin(membership, view);
    } catch (error) {
      context.logger.error(
        { reason: reasonOf(error) },
        'the files of the cluster cannot be read, this node goes on alone',
      );
    }
    // Tasks run on whether control answers or not.
    this.runner.start();
    if (this.#membership === undefined || !isLeaving(context.config.state_dir)) return;
    this.#leaveFinished = finishLeave(this).catch((error: unknown) => {
      context.logger.error({ reason: reasonOf(error) }, 'the leaving that was begun cannot be finished');
    });
  }

  /** From here on the node is a member. */
  enter(member: NewMember): ClusterLink {
    const { state_dir } = this.agent.context.config;
    discardStores(state_dir);
    writeMember(state_dir, member);
    return this.#begin(member.record, member.view);
  }

  /** Control's orders are not followed from now on; or, when leaving failed, they are again. */
  setLeaving(leaving: boolean): void {
    this.#leaving = leaving;
    if (!leaving) this.#link?.reopenWatch();
  }

  /** What tasks have to tell is told, or `deadlineMs` has passed. */
  reportsSettled(deadlineMs: number): Promise<void> {
    return this.#reports.settled(deadlineMs);
  }

  /** From here on the node is in no cluster. */
  async exit(): Promise<void> {
    const link = this.#link;
    clearTimeout(this.#seenTimer);
    this.#seenTimer = undefined;
    this.runner.disownAll();
    forgetCluster(this.agent.context.config.state_dir);
    this.#link = undefined;
    this.#membership = undefined;
    this.#view = undefined;
    this.#seen = undefined;
    this.#frozenReason = '';
    this.#leaving = false;
    this.#reports.direct(undefined);
    await link?.close(false);
  }

  /** The agent stops; containers run on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.runner.stop();
    await this.#link?.close(true);
    this.#writeSeen();
  }

  #begin(membership: MembershipRecord, view: control.ClusterView): ClusterLink {
    const { state_dir } = this.agent.context.config;
    this.#membership = membership;
    this.#view = view;
    this.#seen = readSeen(state_dir, membership.clusterId, view.storeGeneration);
    this.#named = new Set();
    const link = new ClusterLink(
      this.agent,
      this.#environment,
      () => this.#membership?.role ?? membership.role,
      {
        watchRequest: () => ({
          version: this.agent.context.version,
          clusterId: membership.clusterId,
          storeGeneration: this.#seen?.storeGeneration ?? 0,
          seenRevision: this.#seen?.revision ?? 0,
        }),
        connected: (bus) => this.#reports.direct(bus),
        opened: () => (this.#named = new Set()),
        orders: (message, leaderTerm) => this.#take(message, leaderTerm),
      },
    );
    this.#link = link;
    return link;
  }

  #take(message: control.WatchTasksResponse, leaderTerm: number): boolean {
    const { logger } = this.agent.context;
    if (this.#seen === undefined || this.#leaving) return false;
    const { clusterId, storeGeneration, revision, term } = message;
    const orders: Seen = { clusterId, storeGeneration, revision, term };
    const verdict = judgeOrders(this.#seen, leaderTerm, orders);
    if (verdict.kind === 'drop') {
      logger.info({ term, leaderTerm }, 'orders of a former leader were not followed');
      return false;
    }
    if (verdict.kind === 'freeze') {
      if (this.#frozenReason !== verdict.reason)
        logger.error({ reason: verdict.reason }, 'orders are not followed, tasks run on as they are');
      this.#frozenReason = verdict.reason;
      return false;
    }
    if (this.#frozenReason !== '') logger.warn({}, 'orders are followed again');
    this.#frozenReason = '';
    this.#note(seenAfter(this.#seen, orders));
    if (message.view !== undefined) this.#takeView(message.view);
    this.#takeTasks(message);
    return true;
  }

  #takeTasks({ tasks, removedTaskIds, complete }: control.WatchTasksResponse): void {
    const assigned = tasks.flatMap(({ task, credential }) =>
      task === undefined ? [] : [{ task, credential }],
    );
    for (const { task } of assigned) this.#named?.add(task.id);
    this.runner.assign(assigned);
    this.runner.drop(removedTaskIds);
    if (!complete || this.#named === undefined) return;
    this.runner.keepOnly(this.#named);
    this.#named = undefined;
    this.runner.reportAll();
  }

  /** The latest of the members, on disk before anything follows from it; and this node's own role, when that has changed. */
  #takeView(view: control.ClusterView): void {
    const { config, logger, nodeId } = this.agent.context;
    const known = this.#view;
    this.#view = view;
    const sameMembers =
      known !== undefined &&
      JSON.stringify({ ...known, revision: 0 }) === JSON.stringify({ ...view, revision: 0 });
    try {
      if (!sameMembers) writeView(config.state_dir, view);
      const membership = this.#membership;
      const own = view.members.find((member) => member.nodeId === nodeId);
      if (membership?.role !== 'worker' || own?.role !== 'NODE_ROLE_CONTROL') return;
      const promoted: MembershipRecord = { ...membership, role: 'control', controlPending: false };
      writeMembership(config.state_dir, promoted);
      this.#membership = promoted;
      logger.info({}, 'this node is a control node now');
    } catch (error) {
      // The next view is compared with what is on disk again.
      this.#view = known;
      logger.error({ reason: reasonOf(error) }, 'what control says of the members cannot be written');
    }
  }

  #note(seen: Seen): void {
    this.#seen = seen;
    this.#seenTimer ??= setTimeout(() => {
      this.#seenTimer = undefined;
      this.#writeSeen();
    }, SEEN_INTERVAL_MS);
  }

  #writeSeen(): void {
    clearTimeout(this.#seenTimer);
    this.#seenTimer = undefined;
    if (this.#seen === undefined || this.#membership === undefined) return;
    try {
      writeSeen(this.agent.context.config.state_dir, this.#seen);
    } catch (error) {
      this.agent.context.logger.error(
        { reason: reasonOf(error) },
        'what was seen of the store cannot be written',
      );
    }
  }
}

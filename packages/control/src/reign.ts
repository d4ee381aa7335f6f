import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { GantryError, asGantryError, type control } from '@gantry/protocol';
import type { Logger } from 'pino';
import { changesOf } from './decide.js';
import type { Leases } from './leases.js';
import type { ControlMetrics } from './metrics.js';
import { displayName, stateOf, taskName, type NodeView } from './placement.js';
import { reconcile } from './reconciler.js';
import type { EventLog } from './events.js';
import { encodeChange, type Change, type ClusterState, type Committer, type Decision } from './state.js';
import type { Step } from './steps.js';
import type { Store } from './store.js';

/** Changes that come together are decided upon together, milliseconds. */
const gatherMs = 3;
/** Statuses on their way are written this long after the first of them, milliseconds. */
const statusFlushMs = 200;

export interface ReignOptions {
  readonly store: Store;
  readonly state: ClusterState;
  readonly term: number;
  readonly leases: Leases;
  readonly metrics: ControlMetrics;
  readonly events: EventLog;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly keptTasks: number;
  /** Whether the leadership was acknowledged lately enough to act upon. */
  readonly mayAct: () => boolean;
}

/**
 * One leader's time: the state in memory, the one lock around it, and the loop that decides.
 *
 * ```
 *   request ──> transact ──┐                        ┌──> store, side by side ──> shown ──> woken: agents' feeds, watchers
 *   report ───> transact ──┼── one after the other ─┤
 *   wake ─────> reconcile ─┘                        └──> refused: the reign is over
 * ```
 */
export class Reign implements Committer {
  readonly store: Store;
  readonly state: ClusterState;
  readonly term: number;
  readonly leases: Leases;
  readonly events: EventLog;
  readonly nowMs: () => number;
  /** Aborted when this node does not lead any more. */
  readonly signal: AbortSignal;
  /** What nodes told of themselves last, in this reign. */
  readonly nodeStatuses = new Map<string, control.NodeStatus>();
  readonly #over = new AbortController();
  readonly #options: ReignOptions;
  readonly #stateSince = new Map<string, { readonly state: control.TaskState; readonly sinceMs: number }>();
  readonly #began: number;
  readonly #listeners = new Set<() => void>();
  readonly #unwrittenStatuses = new Set<string>();
  #flushTimer: NodeJS.Timeout | undefined;
  #lock: Promise<unknown> = Promise.resolve();
  #awake = true;
  #sealedBecause = '';
  #wakeLoop: () => void = () => undefined;

  constructor(options: ReignOptions) {
    this.#options = options;
    this.store = options.store;
    this.state = options.state;
    this.term = options.term;
    this.leases = options.leases;
    this.events = options.events;
    this.nowMs = options.nowMs;
    this.signal = this.#over.signal;
    this.#began = options.nowMs();
  }

  /** Why it ended; empty while it lasts. */
  endedBecause = '';

  end(reason: string): void {
    if (this.#over.signal.aborted) return;
    this.endedBecause = reason;
    clearTimeout(this.#flushTimer);
    this.leases.close();
    this.#over.abort();
    this.#wakeLoop();
    this.#tell();
  }

  /** Calls back after every change that was shown. Returns the function that stops it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Once at first, then after every change or several, and after `atLeastEveryMs` without one, until the signal aborts or the
   * reign is over.
   */
  async *pulses(signal: AbortSignal, atLeastEveryMs?: number): AsyncGenerator<void> {
    let isDue = true;
    let go: () => void = () => undefined;
    const pulse = (): void => {
      isDue = true;
      go();
    };
    const stop = this.onChange(pulse);
    signal.addEventListener('abort', pulse, { once: true });
    const ticks = atLeastEveryMs === undefined ? undefined : setInterval(pulse, atLeastEveryMs);
    try {
      while (!signal.aborted && !this.signal.aborted) {
        if (!isDue) await new Promise<void>((resolve) => (go = resolve));
        if (signal.aborted || this.signal.aborted) return;
        isDue = false;
        yield;
      }
    } finally {
      clearInterval(ticks);
      stop();
      signal.removeEventListener('abort', pulse);
    }
  }

  /** Lets nobody change anything any more: what the store holds is being moved. Resolves when the last change is through. */
  async seal(reason: string): Promise<void> {
    this.#sealedBecause = reason;
    await this.#lock;
  }

  transact<T>(decide: () => Decision<T>): Promise<T> {
    const turn = this.#lock.then(() => this.#perform(decide));
    this.#lock = turn.catch(() => undefined);
    return turn;
  }

  /** Looks at everything again soon. */
  wake(): void {
    this.#awake = true;
    this.#wakeLoop();
  }

  /** A node's view of itself or its lease has changed: nothing of it is in the store. */
  nodeChanged(): void {
    this.wake();
    this.#tell();
  }

  /** Agents' reports: shown at once, written soon. */
  async report(
    statuses: readonly { readonly taskId: string; readonly status: control.TaskStatus }[],
  ): Promise<void> {
    await this.transact(() => {
      const unwritten: Change[] = statuses.map(({ taskId, status }) => ({
        kind: 'status',
        id: taskId,
        value: status,
      }));
      return { changes: [], unwritten, result: undefined };
    });
    for (const { taskId } of statuses) this.#unwrittenStatuses.add(taskId);
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = undefined;
      void this.#flushStatuses().catch(() => undefined);
    }, statusFlushMs);
  }

  /** Decides until the reign is over. */
  async decide(): Promise<void> {
    let wakeAtMs = Infinity;
    while (!this.signal.aborted) {
      if (!this.#awake) await this.#untilWoken(wakeAtMs - this.nowMs());
      if (this.signal.aborted) return;
      await sleep(gatherMs);
      this.#awake = false;
      try {
        wakeAtMs = await this.transact(() => this.#decision());
      } catch (error) {
        // Agents are still told where the store goes; the reign ends when this node goes there itself.
        if (this.#sealedBecause !== '') return this.#untilOver();
        // The failed write has ended the reign already; what else may throw is a defect, and must not lead on half-blind.
        this.end(asGantryError(error, 'decide').message);
        if (!(error instanceof GantryError)) this.#options.logger.error({ err: error }, 'deciding failed');
      }
    }
  }

  #untilOver(): Promise<void> {
    if (this.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => this.signal.addEventListener('abort', () => resolve(), { once: true }));
  }

  nodeViews(): NodeView[] {
    return [...this.state.nodes.values()].map((record) => ({
      id: record.nodeId,
      record,
      status: this.nodeStatuses.get(record.nodeId),
      condition: this.leases.conditionOf(record.nodeId),
    }));
  }

  #decision(): Decision<number> {
    const { metrics, keptTasks, logger } = this.#options;
    const { state, term } = this;
    const stop = metrics.decisionSeconds.startTimer();
    const plan = reconcile({
      nodes: this.nodeViews(),
      services: [...state.services.values()],
      stacks: [...state.stacks.values()],
      tasks: state.tasks.all(),
      nowMs: this.nowMs(),
      stateSince: (taskId) => this.#stateSince.get(taskId)?.sinceMs ?? this.#began,
      makeId,
      keptTasks,
    });
    stop();
    if (plan.steps.length > 0) logger.info({ steps: countSteps(plan.steps) }, 'decided');
    for (const step of plan.steps) this.#note(step);
    // What a step changes may call for the next: also a roll-out's.
    if (plan.steps.some(({ type }) => type !== 'explain-task')) this.#awake = true;
    return { ...changesOf(plan.steps, state, term), result: plan.wakeAtMs };
  }

  #note(step: Step): void {
    const { metrics } = this.#options;
    if (step.type === 'assign-task') metrics.placements.inc({ result: 'placed' });
    if (step.type === 'explain-task') metrics.placements.inc({ result: 'refused' });
    if (step.type === 'mark-lost') {
      metrics.tasksReplaced.inc({ reason: 'node lost' });
      const task = this.state.tasks.get(step.taskId);
      if (task !== undefined) this.events.publish('task', 'lost', task.id, eventAttributes(task));
    }
    if (step.type === 'update-service') {
      const { stack, spec, updateStatus } = step.service;
      this.events.publish('service', 'update', step.service.id, {
        name: displayName(stack, spec?.name ?? ''),
        state: updateStatus?.state ?? '',
        message: updateStatus?.message ?? '',
      });
    }
  }

  async #perform<T>(decide: () => Decision<T>): Promise<T> {
    if (this.signal.aborted) throw notLeading(this.endedBecause);
    if (this.#sealedBecause !== '') throw notLeading(this.#sealedBecause);
    // A process that was stopped for a while may have been succeeded: the writes of keys that the other has not touched would
    // not tell.
    if (!this.#options.mayAct()) this.end('its leadership was not acknowledged in time');
    if (this.signal.aborted) throw notLeading(this.endedBecause);
    const { changes, unwritten = [], result } = decide();
    let failed: PromiseRejectedResult | undefined;
    for (const kind of writeOrder) {
      const written = await Promise.allSettled(
        changes.filter((change) => change.kind === kind).map((change) => this.#write(change)),
      );
      failed = written.find((one) => one.status === 'rejected');
      if (failed !== undefined) break;
    }
    if (failed !== undefined) {
      const failure = asGantryError(failed.reason, 'write store');
      this.end(failure.message);
      throw notLeading(failure.message, failure);
    }
    for (const change of [...changes, ...unwritten]) this.#show(change);
    if (changes.length + unwritten.length > 0) {
      this.wake();
      this.#tell();
    }
    return result;
  }

  #write(change: Change): Promise<void> {
    const { key, data } = encodeChange(change);
    return data === undefined ? this.store.delete(key) : this.store.write(key, data);
  }

  #show(change: Change): void {
    this.state.apply(change);
    if (change.kind === 'task' && change.value === undefined) this.#stateSince.delete(change.id);
    if (change.kind !== 'status' && change.kind !== 'task') return;
    const task = this.state.tasks.get(change.id);
    if (task === undefined) return;
    const is = stateOf(task);
    const before = this.#stateSince.get(change.id);
    if (before?.state === is) return;
    this.#stateSince.set(change.id, { state: is, sinceMs: this.nowMs() });
    this.events.publish('task', is.replace('TASK_STATE_', '').toLowerCase(), task.id, eventAttributes(task));
  }

  async #flushStatuses(): Promise<void> {
    const ids = [...this.#unwrittenStatuses];
    this.#unwrittenStatuses.clear();
    await this.transact(() => {
      const changes = ids.flatMap((id): Change[] => {
        const status = this.state.tasks.get(id)?.status;
        return status === undefined ? [] : [{ kind: 'status', id, value: status }];
      });
      return { changes, result: undefined };
    });
  }

  async #untilWoken(withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wakeLoop = resolve;
      if (Number.isFinite(withinMs)) timer = setTimeout(resolve, Math.max(1, withinMs));
      if (this.#awake || this.signal.aborted) resolve();
    });
    clearTimeout(timer);
    this.#wakeLoop = () => undefined;
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** One kind after the other, so that a kill in between leaves what can be told apart and finished: a stack before its services,
 * a service before its tasks, a node before the token that let it in is spent. */
const writeOrder = [
  'stack',
  'service',
  'node',
  'token',
  'apitoken',
  'task',
  'status',
] as const satisfies readonly Change['kind'][];

const eventAttributes = (task: control.Task): Record<string, string> => ({
  name: taskName(task),
  node: task.nodeId,
  service: displayName(task.stack, task.serviceName),
  message: task.status?.message ?? '',
});

const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
/** 25 letters and digits: 128 bits. */
export const makeId = (): string =>
  Array.from({ length: 25 }, () => alphabet[randomInt(alphabet.length)] ?? '').join('');

function countSteps(steps: readonly Step[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { type } of steps) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

function notLeading(reason: string, cause?: unknown): GantryError {
  return new GantryError({
    code: 'unavailable',
    operation: 'decide',
    object: 'cluster',
    message: `this control node does not lead the cluster any more: ${reason}`,
    retryable: true,
    cause,
  });
}

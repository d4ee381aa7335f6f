import { setTimeout as sleep } from 'node:timers/promises';
import { isGantryError, type control, type Init } from '@gantry/protocol';
import type { Agent } from '../agent.js';
import type { Container } from '../container.js';
import { reasonOf } from '../refuse.js';
import { decideTask, isEnded, type ContainerLook, type TaskStep } from './decide-task.js';
import type { Gate } from './gate.js';
import type { ImagePulls } from './image-pulls.js';
import type { StatusReports } from './status-reports.js';
import { taskContainer, taskImage } from './task-container.js';
import type { TaskFiles } from './task-files.js';
import { taskIdOf } from './task-labels.js';
import { firmer, inState, withOrders, wireState, type AssignedTask, type TaskRecord } from './task-record.js';

/** How long a service of this node, or a registry, may be away before a task gives up, milliseconds. */
const PATIENCE_MS = 10_000;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;

/** What every task of the node works with. */
export interface TaskParts {
  readonly agent: Agent;
  readonly files: TaskFiles;
  readonly reports: StatusReports;
  readonly pulls: ImagePulls;
  /** Bounds how many containers are made at a time. */
  readonly gate: Gate;
  readonly signal: AbortSignal;
  readonly forgotten: (id: string) => void;
}

/** One task of this node: what control wishes, what became of it, and the one who brings the two together. */
export class RunningTask {
  readonly id: string;
  readonly #parts: TaskParts;
  #record: TaskRecord;
  #imageReady = false;
  #working = false;
  #again = false;
  #gone = false;
  #disowned = false;
  /** Aborted when the wish changes: what is under way for the old one ends. */
  #wish = new AbortController();
  #told = '';

  constructor(parts: TaskParts, record: TaskRecord) {
    this.id = record.task.id;
    this.#parts = parts;
    this.#record = record;
  }

  get record(): TaskRecord {
    return this.#record;
  }

  /** Remembers it, and begins. */
  begin(): void {
    this.#keep(this.#record);
    this.poke();
  }

  /** Another word of control. */
  order(assigned: AssignedTask): void {
    this.#change(withOrders(this.#record, assigned));
  }

  /** Not wanted any more. */
  remove(): void {
    this.#change({ ...this.#record, desired: firmer(this.#record.desired, 'removed') });
  }

  /** The node is in its cluster no more: what is left of the task goes, but nothing is written or told of it. */
  disown(): void {
    this.#disowned = true;
  }

  #change(next: TaskRecord): void {
    if (next.desired !== this.#record.desired) {
      this.#keep(next);
      this.#wish.abort();
    } else if (next !== this.#record) this.#keep(next);
    this.poke();
  }

  /** Something may have happened. */
  poke(): void {
    this.#again = true;
    if (!this.#working) void this.#work();
  }

  /** Tells control where the task is: when that has changed, or at all events. */
  report(always: boolean): void {
    if (this.#disowned) return;
    const status = this.#status();
    const text = JSON.stringify({ ...status, changedUnixMs: 0 });
    if (!always && text === this.#told) return;
    this.#told = text;
    const { state } = this.#record;
    const passing = state === 'assigned' || state === 'preparing' || state === 'starting';
    this.#parts.reports.tell(this.id, { taskId: this.id, status, removed: false }, passing);
  }

  #container(): Container | undefined {
    const found = this.#parts.agent.registry.withKey(this.id);
    return found !== undefined && taskIdOf(found) === this.id ? found : undefined;
  }

  async #work(): Promise<void> {
    this.#working = true;
    let waitMs = FIRST_WAIT_MS;
    while (this.#again && !this.#gone && !this.#parts.signal.aborted) {
      this.#again = false;
      this.#wish = new AbortController();
      try {
        await this.#settle();
        waitMs = FIRST_WAIT_MS;
      } catch (error) {
        const { logger } = this.#parts.agent.context;
        logger.warn(
          { task: this.id, reason: reasonOf(error) },
          'a step of a task failed, will be tried again',
        );
        await this.#pause(waitMs);
        waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
        this.#again = true;
      }
    }
    this.#working = false;
  }

  /** Step after step, until there is nothing more to do for now. */
  async #settle(): Promise<void> {
    while (!this.#gone && !this.#parts.signal.aborted) {
      const container = this.#container();
      if (container !== undefined && this.#record.containerId !== container.id)
        this.#keep({ ...this.#record, containerId: container.id });
      const { desired, state, containerId } = this.#record;
      const facts = { desired, state, hadContainer: containerId !== '', imageReady: this.#imageReady };
      const step = decideTask(facts, container === undefined ? undefined : this.#look(container));
      if (step === undefined) break;
      await this.#perform(step, container);
    }
    if (!this.#gone) this.report(false);
  }

  #look(container: Container): ContainerLook {
    const { agent } = this.#parts;
    return {
      life: container.life,
      health: container.health?.state.status,
      hasHealthCheck: container.record.execution.healthCheck !== undefined,
      bootId: agent.context.bootId,
      nodeGoesDown: agent.goingDown,
    };
  }

  async #perform(step: TaskStep, container: Container | undefined): Promise<void> {
    const { agent, pulls, gate } = this.#parts;
    switch (step.do) {
      case 'enter':
        this.#enter(step);
        return;
      case 'pull':
        await this.#patiently((signal) => pulls.fetch(taskImage(this.#record), signal));
        this.#imageReady = true;
        return;
      case 'create':
        await this.#patiently(() => gate.pass(() => agent.create(taskContainer(this.#record))));
        return;
      case 'start':
        await this.#patiently(() => gate.pass(async () => container?.start()));
        return;
      case 'stop':
        await container?.stop({ timeoutSeconds: undefined, signal: undefined });
        return;
      case 'remove':
        await container?.remove({ force: false, volumes: true });
        return;
      case 'forget':
        this.#forget();
    }
  }

  /**
   * Does what may fail because somebody is away, again and again for a while; what else fails, and what stays away, rejects
   * the task: control finds another place. Ends quietly when control's wish changes.
   */
  async #patiently(work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const { signal } = this.#wish;
    const end = performance.now() + PATIENCE_MS;
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      try {
        await work(signal);
        return;
      } catch (error) {
        if (signal.aborted || this.#parts.signal.aborted) return;
        const away = isGantryError(error, 'unavailable') || isGantryError(error, 'deadline_exceeded');
        if (!away || performance.now() > end) {
          this.#enter({ state: 'rejected', message: reasonOf(error) });
          return;
        }
        this.#keep({ ...this.#record, message: `will be tried again: ${reasonOf(error)}` });
        this.report(false);
        await this.#pause(waitMs);
        if (signal.aborted || this.#parts.signal.aborted) return;
      }
    }
  }

  async #pause(waitMs: number): Promise<void> {
    const signal = AbortSignal.any([this.#wish.signal, this.#parts.signal]);
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
  }

  #enter(next: Parameters<typeof inState>[1]): void {
    const record = inState(this.#record, next, Date.now());
    if (record === this.#record) throw new Error(`task ${this.id} cannot become ${next.state} again`);
    this.#keep(record);
    const { logger } = this.#parts.agent.context;
    if (isEnded(record.state))
      logger.info({ task: this.id, state: record.state, reason: record.message }, 'task ended');
    this.report(false);
  }

  /** In memory and on disk; a disk that takes nothing costs what a restart would know, not the task. */
  #keep(record: TaskRecord): void {
    this.#record = Object.freeze(record);
    if (this.#disowned) return;
    try {
      this.#parts.files.write(this.#record);
    } catch (error) {
      const { logger } = this.#parts.agent.context;
      logger.error({ task: this.id, reason: reasonOf(error) }, 'the record of a task cannot be written');
    }
  }

  #forget(): void {
    this.#gone = true;
    const { reports, files, forgotten } = this.#parts;
    if (!this.#disowned) {
      reports.tell(this.id, { taskId: this.id, status: this.#status(), removed: true }, false);
      files.remove(this.id);
    }
    forgotten(this.id);
  }

  #status(): Init<control.TaskStatus> {
    const { state, message, containerId, exitCode, changedUnixMs } = this.#record;
    const container = this.#container();
    const running = container?.running === true;
    return {
      state: wireState(state),
      message: message === '' ? restartMessage(container) : message,
      containerId,
      exitCode,
      changedUnixMs,
      restarts: container?.life.restartCount ?? 0,
      health: healthOf(container),
      pid: running ? container.life.pid : 0,
      ipAddress: running ? container.record.network.ipAddress : '',
    };
  }
}

function healthOf(container: Container | undefined): string {
  const status = container?.health?.state.status;
  return container?.record.execution.healthCheck === undefined ? '' : (status ?? '');
}

function restartMessage(container: Container | undefined): string {
  if (container?.life.state !== 'restarting') return '';
  const { error, exitCode } = container.life;
  return `it is started again after ${error === '' ? `exit code ${exitCode}` : error}`;
}

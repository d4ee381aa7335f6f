import { setTimeout as sleep } from 'node:timers/promises';
import { control } from '@gantry/protocol';
import type { Agent } from '../agent.js';
import { isEnded, type TaskStateName } from './decide-task.js';
import { Gate } from './gate.js';
import { ImagePulls } from './image-pulls.js';
import { RunningTask, type TaskParts } from './running-task.js';
import type { StatusReports } from './status-reports.js';
import { TaskFiles } from './task-files.js';
import { taskIdOf, taskLabels } from './task-labels.js';
import { newTaskRecord, type AssignedTask } from './task-record.js';

/** Containers made or started at a time. */
const STARTS_AT_ONCE = 8;
/** Whatever no event told is seen by then. */
const LOOK_INTERVAL_MS = 5_000;

/** The tasks of this node. It knows nothing of connections: it is told what control wishes, and tells what became of it. */
export class TaskRunner {
  readonly #agent: Agent;
  readonly #parts: TaskParts;
  readonly #tasks = new Map<string, RunningTask>();
  readonly #stopListening: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(agent: Agent, reports: StatusReports) {
    const { context } = agent;
    this.#agent = agent;
    this.#parts = {
      agent,
      files: new TaskFiles(context.config.state_dir),
      reports,
      pulls: new ImagePulls(context.bus),
      gate: new Gate(STARTS_AT_ONCE),
      signal: context.signal,
      forgotten: (id) => this.#tasks.delete(id),
    };
    this.#stopListening = context.events.listen((event) => {
      if (event.type !== 'container') return;
      const id = event.attributes.find(({ key }) => key === taskLabels.task)?.value;
      // The event is told from within what makes it true.
      if (id !== undefined) setImmediate(() => this.#tasks.get(id)?.poke());
    });
  }

  /** Takes up the tasks this node remembers. */
  start(): void {
    for (const record of this.#parts.files.load())
      this.#tasks.set(record.task.id, new RunningTask(this.#parts, record));
    this.look();
    this.#timer = setInterval(() => this.look(), LOOK_INTERVAL_MS);
  }

  /** Looks at every task. */
  look(): void {
    for (const task of this.#tasks.values()) task.poke();
  }

  /** Tasks that have not ended. */
  get active(): number {
    return [...this.#tasks.values()].filter(({ record }) => !isEnded(record.state)).length;
  }

  countStates(): ReadonlyMap<TaskStateName, number> {
    const counts = new Map<TaskStateName, number>();
    for (const { record } of this.#tasks.values())
      counts.set(record.state, (counts.get(record.state) ?? 0) + 1);
    return counts;
  }

  /** New and changed tasks, as control says. */
  assign(assigned: readonly AssignedTask[]): void {
    for (const one of assigned) {
      const known = this.#tasks.get(one.task.id);
      if (known !== undefined) known.order(one);
      else this.#begin(one);
    }
  }

  /** What is left of these is to go. */
  drop(ids: readonly string[]): void {
    for (const id of ids) this.#tasks.get(id)?.remove();
  }

  /** Control has named every task of this node: others, and containers of others, are to go. */
  keepOnly(named: ReadonlySet<string>): void {
    for (const [id, task] of this.#tasks) if (!named.has(id)) task.remove();
    for (const container of this.#agent.registry.all()) {
      const id = taskIdOf(container);
      if (id === undefined || named.has(id) || this.#tasks.has(id)) continue;
      const left = { id, desired: 'DESIRED_STATE_REMOVED' as const };
      this.#begin({
        task: control.TaskCodec.decode(control.TaskCodec.encode(left)),
        credential: undefined,
      });
    }
  }

  /** Everything of the cluster goes from this node; false when not all of it went within `deadlineMs`. */
  async removeAll(deadlineMs: number): Promise<boolean> {
    const end = performance.now() + deadlineMs;
    this.keepOnly(new Set());
    while (this.#tasks.size > 0 && performance.now() < end) await sleep(20);
    return this.#tasks.size === 0;
  }

  /** The cluster is left: what did not go yet still goes, without a word on disk or to control. */
  disownAll(): void {
    for (const task of this.#tasks.values()) task.disown();
  }

  /** Tells control of all tasks, whatever it knows. */
  reportAll(): void {
    for (const task of this.#tasks.values()) task.report(true);
  }

  /** Forgets them without touching a container. */
  stop(): void {
    clearInterval(this.#timer);
    this.#stopListening();
  }

  #begin(assigned: AssignedTask): void {
    const task = new RunningTask(this.#parts, newTaskRecord(assigned, Date.now()));
    this.#tasks.set(task.id, task);
    task.begin();
  }
}

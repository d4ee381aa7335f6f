import type { control } from '@gantry/protocol';
import type { Step } from './steps.js';

/** Tasks by id and by service, changed by steps. Tasks themselves are never changed, only replaced. */
export class TaskTable {
  readonly #tasks = new Map<string, control.Task>();
  readonly #ofService = new Map<string, Set<string>>();
  readonly #ofNode = new Map<string, Set<string>>();

  constructor(tasks: Iterable<control.Task>) {
    for (const task of tasks) this.set(task);
  }

  get size(): number {
    return this.#tasks.size;
  }

  get(id: string): control.Task | undefined {
    return this.#tasks.get(id);
  }

  all(): control.Task[] {
    return [...this.#tasks.values()];
  }

  ofService(serviceId: string): control.Task[] {
    return [...(this.#ofService.get(serviceId) ?? [])].flatMap((id) => this.#tasks.get(id) ?? []);
  }

  ofNode(nodeId: string): control.Task[] {
    return [...(this.#ofNode.get(nodeId) ?? [])].flatMap((id) => this.#tasks.get(id) ?? []);
  }

  set(task: control.Task): void {
    const before = this.#tasks.get(task.id);
    this.#tasks.set(task.id, task);
    include(this.#ofService, task.serviceId, task.id);
    if (before !== undefined && before.nodeId !== task.nodeId) exclude(this.#ofNode, before.nodeId, task.id);
    if (task.nodeId !== '') include(this.#ofNode, task.nodeId, task.id);
  }

  delete(id: string): void {
    const task = this.#tasks.get(id);
    if (task === undefined) return;
    this.#tasks.delete(id);
    exclude(this.#ofService, task.serviceId, id);
    exclude(this.#ofNode, task.nodeId, id);
  }

  /** Applies a step that concerns a task; returns the task as it is then, undefined when the step removed it or is another's. */
  apply(step: Step, term = 0): control.Task | undefined {
    if (step.type === 'create-task') {
      this.set(step.task);
      return step.task;
    }
    if (!('taskId' in step)) return undefined;
    if (step.type === 'remove-task') {
      this.delete(step.taskId);
      return undefined;
    }
    const before = this.#tasks.get(step.taskId);
    if (before === undefined) return undefined;
    const after = changed(before, step, term);
    this.set(after);
    return after;
  }
}

function include(index: Map<string, Set<string>>, key: string, id: string): void {
  const ids = index.get(key);
  if (ids === undefined) index.set(key, new Set([id]));
  else ids.add(id);
}

function exclude(index: Map<string, Set<string>>, key: string, id: string): void {
  const ids = index.get(key);
  ids?.delete(id);
  if (ids?.size === 0) index.delete(key);
}

type Change = Extract<Step, { taskId: string }>;

function changed(task: control.Task, step: Change, term: number): control.Task {
  switch (step.type) {
    case 'assign-task':
      return {
        ...task,
        nodeId: step.nodeId,
        term,
        placementMessage: '',
        status: { ...emptyStatus, state: 'TASK_STATE_ASSIGNED' },
      };
    case 'explain-task':
      return { ...task, placementMessage: step.message };
    case 'set-desired':
      return { ...task, desired: step.desired };
    case 'mark-lost':
      return {
        ...task,
        desired: 'DESIRED_STATE_REMOVED',
        status: { ...(task.status ?? emptyStatus), state: 'TASK_STATE_LOST', message: step.message },
      };
    case 'remove-task':
      return task;
  }
}

export const emptyStatus: control.TaskStatus = {
  state: 'TASK_STATE_UNSPECIFIED',
  message: '',
  containerId: '',
  exitCode: undefined,
  changedUnixMs: 0,
  restarts: 0,
  health: '',
  pid: 0,
  ipAddress: '',
};

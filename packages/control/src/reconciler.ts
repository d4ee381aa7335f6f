import type { control } from '@gantry/protocol';
import { refusalOfNode } from './filters.js';
import { hasEnded, isLive, isRunning, isWanted, stateOf, type NodeView } from './placement.js';
import { isCurrent, isFulfilled, rollOut, type Place } from './rollout.js';
import { schedule } from './scheduler.js';
import type { Step } from './steps.js';
import { TaskTable } from './task-table.js';

/** All that a decision looks at. */
export interface Snapshot {
  readonly nodes: readonly NodeView[];
  readonly services: readonly control.Service[];
  readonly stacks: readonly control.Stack[];
  readonly tasks: readonly control.Task[];
  /** The leader's clock, milliseconds; only compared with `stateSince` and stored as time of creation. */
  readonly nowMs: number;
  /** Since when this leader has seen the task in its state. */
  readonly stateSince: (taskId: string) => number;
  /** Another id at each call. */
  readonly makeId: () => string;
  /** Ended tasks that are remembered for each place of a service. */
  readonly keptTasks: number;
}

export interface Plan {
  readonly steps: readonly Step[];
  /** When to decide again though nothing has happened; Infinity for never. */
  readonly wakeAtMs: number;
}

/** A failed place is tried again after these, then always after the last, milliseconds. */
const backoffMs = [1_000, 2_000, 4_000, 8_000, 16_000, 60_000] as const;

/**
 * Compares what is wanted with what is, and says what makes them agree. Pure: the same snapshot gives the same steps.
 *
 *   lost nodes ─> services: remove │ drain ─> too many ─> roll-out ─> fill places ─> forget history ─> place what is pending
 */
export function reconcile(snapshot: Snapshot): Plan {
  const work = new Work(snapshot);
  for (const task of [...work.tasks.all()]) work.looseFromLostNode(task);
  for (const service of snapshot.services) {
    if (service.removing) work.removeService(service);
    else work.keepService(service);
  }
  for (const { name, removing } of snapshot.stacks) {
    if (removing && !work.services.some((service) => service.stack === name))
      work.do({ type: 'remove-stack', name });
  }
  work.placePending();
  return { steps: work.steps, wakeAtMs: work.wakeAtMs };
}

/** One run: the snapshot as the steps so far have changed it. */
class Work {
  readonly steps: Step[] = [];
  readonly tasks: TaskTable;
  services: readonly control.Service[];
  wakeAtMs = Infinity;
  readonly #snapshot: Snapshot;
  readonly #nodes: ReadonlyMap<string, NodeView>;
  readonly #avoid = new Map<string, Set<string>>();

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    this.services = snapshot.services;
    this.tasks = new TaskTable(snapshot.tasks);
    this.#nodes = new Map(snapshot.nodes.map((node) => [node.id, node]));
  }

  do(step: Step): void {
    this.steps.push(step);
    this.tasks.apply(step);
    if (step.type === 'remove-service')
      this.services = this.services.filter(({ id }) => id !== step.serviceId);
  }

  looseFromLostNode(task: control.Task): void {
    if (task.nodeId === '') return;
    const node = this.#nodes.get(task.nodeId);
    if (node !== undefined && node.condition !== 'lost') return;
    if (!hasEnded(task)) {
      const message = node === undefined ? 'its node was removed' : 'its node was lost';
      this.do({ type: 'mark-lost', taskId: task.id, message });
    }
    // Nobody will ever report of it.
    if (node === undefined) this.do({ type: 'remove-task', taskId: task.id });
  }

  removeService(service: control.Service): void {
    for (const task of this.tasks.ofService(service.id)) {
      const node = this.#nodes.get(task.nodeId);
      // A node that comes back removes what it is not told of.
      if (node === undefined || node.condition === 'lost') this.do({ type: 'remove-task', taskId: task.id });
      else if (task.desired !== 'DESIRED_STATE_REMOVED')
        this.do({ type: 'set-desired', taskId: task.id, desired: 'DESIRED_STATE_REMOVED' });
    }
    if (this.tasks.ofService(service.id).length === 0)
      this.do({ type: 'remove-service', serviceId: service.id });
  }

  keepService(service: control.Service): void {
    const spec = service.spec;
    if (spec === undefined) return;
    for (const task of this.tasks.ofService(service.id)) {
      // Never placed, and not wanted any more: there is nothing to stop.
      if (task.nodeId === '' && !isWanted(task)) this.do({ type: 'remove-task', taskId: task.id });
      else if (isLive(task) && task.nodeId !== '' && !this.#mayStay(task, spec))
        this.do({ type: 'set-desired', taskId: task.id, desired: 'DESIRED_STATE_SHUTDOWN' });
    }
    const isGlobal = spec.mode === 'SERVICE_MODE_GLOBAL';
    if (isGlobal) this.#dropPendingOfGlobal(service, spec);
    else this.#scaleDown(service, spec.replicas);
    const places = isGlobal ? this.#nodePlaces(service, spec) : this.#slotPlaces(service, spec.replicas);
    const { nowMs } = this.#snapshot;
    const decision = rollOut({
      service,
      places,
      nowMs,
      runningSince: (taskId) => this.#runningSince(taskId),
      // Two tasks of a global service never share a node.
      mayDouble: !isGlobal,
    });
    let latest = service;
    for (const step of decision.steps) {
      if (step.type === 'update-service') latest = step.service;
      this.do(step);
    }
    this.wakeAtMs = Math.min(this.wakeAtMs, decision.wakeAtMs);
    for (const place of places) this.#fill(latest, place, decision.doubled.has(place.key));
    this.#forgetHistory(service);
  }

  placePending(): void {
    const pending = this.tasks
      .all()
      .filter((task) => isLive(task) && task.nodeId === '')
      .sort((a, b) => a.createdUnixMs - b.createdUnixMs || a.slot - b.slot || (a.id < b.id ? -1 : 1));
    const { assigned, refused } = schedule({
      nodes: this.#snapshot.nodes,
      tasks: this.tasks.all(),
      pending,
      avoid: this.#avoid,
    });
    for (const [taskId, nodeId] of assigned) this.do({ type: 'assign-task', taskId, nodeId });
    for (const [taskId, message] of refused)
      if (this.tasks.get(taskId)?.placementMessage !== message)
        this.do({ type: 'explain-task', taskId, message });
  }

  /** A draining node gives its tasks away; a global service leaves nodes that do not fit it any more. */
  #mayStay(task: control.Task, spec: control.ServiceSpec): boolean {
    const node = this.#nodes.get(task.nodeId);
    if (node === undefined) return true;
    if (node.record.availability === 'AVAILABILITY_DRAIN') return false;
    if (spec.mode !== 'SERVICE_MODE_GLOBAL') return true;
    return refusalOfNode({ ...node, condition: 'ready' }, spec) === undefined;
  }

  #runningSince(taskId: string): number | undefined {
    const task = this.tasks.get(taskId);
    return task !== undefined && isRunning(task) ? this.#snapshot.stateSince(taskId) : undefined;
  }

  /** A slot counts while a task of it is wanted, or an older version of it is being stopped for its successor. */
  #activeSlots(service: control.Service): Map<number, control.Task[]> {
    const slots = new Map<number, control.Task[]>();
    for (const task of this.tasks.ofService(service.id)) {
      const tasks = slots.get(task.slot) ?? [];
      tasks.push(task);
      slots.set(task.slot, tasks);
    }
    for (const [slot, tasks] of slots)
      if (!tasks.some((task) => isWanted(task) || isGivingWay(service, task))) slots.delete(slot);
    return slots;
  }

  /** Those go first that do not run, then those on the fullest nodes, then the highest numbers. */
  #scaleDown(service: control.Service, replicas: number): void {
    const slots = this.#activeSlots(service);
    const excess = slots.size - replicas;
    if (excess <= 0) return;
    const perNode = new Map<string, number>();
    for (const tasks of slots.values())
      for (const { nodeId } of tasks.filter(isLive)) perNode.set(nodeId, (perNode.get(nodeId) ?? 0) + 1);
    for (let round = 0; round < excess; round += 1) {
      const [victim] = [...slots].sort(([slotA, a], [slotB, b]) => {
        const runs = (tasks: readonly control.Task[]): number =>
          tasks.some((task) => isLive(task) && isRunning(task)) ? 1 : 0;
        const load = (tasks: readonly control.Task[]): number =>
          Math.max(0, ...tasks.filter(isLive).map(({ nodeId }) => perNode.get(nodeId) ?? 0));
        return runs(a) - runs(b) || load(b) - load(a) || slotB - slotA;
      });
      if (victim === undefined) return;
      const [slot, tasks] = victim;
      slots.delete(slot);
      for (const task of tasks) {
        if (!isWanted(task)) continue;
        if (isLive(task)) perNode.set(task.nodeId, (perNode.get(task.nodeId) ?? 1) - 1);
        if (task.nodeId === '') this.do({ type: 'remove-task', taskId: task.id });
        else this.do({ type: 'set-desired', taskId: task.id, desired: 'DESIRED_STATE_SHUTDOWN' });
      }
    }
  }

  #slotPlaces(service: control.Service, replicas: number): Place[] {
    const slots = this.#activeSlots(service);
    const places = [...slots].map(([slot, tasks]) => ({ key: String(slot), tasks }));
    const remembered = this.tasks.ofService(service.id);
    for (let slot = 1; places.length < replicas; slot += 1) {
      if (slots.has(slot)) continue;
      places.push({ key: String(slot), tasks: remembered.filter((task) => task.slot === slot) });
    }
    return places.sort((a, b) => Number(a.key) - Number(b.key));
  }

  #nodePlaces(service: control.Service, spec: control.ServiceSpec): Place[] {
    const tasks = this.tasks.ofService(service.id);
    return this.#snapshot.nodes
      .filter((node) => isEligible(node, spec))
      .map(({ id }) => ({ key: id, tasks: tasks.filter(({ nodeId }) => nodeId === id) }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Pending tasks of a global service are for nodes without one; those too many go. */
  #dropPendingOfGlobal(service: control.Service, spec: control.ServiceSpec): void {
    const tasks = this.tasks.ofService(service.id);
    const pending = tasks.filter((task) => isLive(task) && task.nodeId === '');
    const lacking = this.#nodePlaces(service, spec).filter((place) => !place.tasks.some(isLive)).length;
    for (const [index, task] of pending.entries())
      if (index >= lacking || !isCurrent(service, task)) this.do({ type: 'remove-task', taskId: task.id });
  }

  #fill(service: control.Service, place: Place, doubled: boolean): void {
    const { spec } = service;
    if (spec === undefined) return;
    const isGlobal = spec.mode === 'SERVICE_MODE_GLOBAL';
    const tasks = place.tasks.flatMap(({ id }) => this.tasks.get(id) ?? []);
    const live = tasks.filter(isLive);
    const fresh = live.filter((task) => isCurrent(service, task));
    const ended = tasks.filter((task) => isWanted(task) && hasEnded(task));
    if (fresh.length > 0)
      // A pending task of a global service may come to a node whose own was about to be replaced.
      for (const task of ended)
        this.do({ type: 'set-desired', taskId: task.id, desired: 'DESIRED_STATE_SHUTDOWN' });
    if (fresh.length > 0 || (live.length > 0 && !doubled)) return;
    // Stop-first: the successor waits until the old one has let go of what it holds.
    if (!doubled && tasks.some((task) => isGivingWay(service, task))) return;
    if (ended.some((task) => isCurrent(service, task) && isFulfilled(task, spec))) return;
    const failed = tasks.filter((task) => isCurrent(service, task) && isFailure(task));
    const dueMs = this.#dueAfter(failed);
    if (dueMs > this.#snapshot.nowMs) {
      this.wakeAtMs = Math.min(this.wakeAtMs, dueMs);
      return;
    }
    for (const task of ended)
      this.do({ type: 'set-desired', taskId: task.id, desired: 'DESIRED_STATE_SHUTDOWN' });
    if (isGlobal && this.#pendingOf(service) >= this.#lacking(service, spec)) return;
    const task: control.Task = {
      id: this.#snapshot.makeId(),
      serviceId: service.id,
      stack: service.stack,
      serviceName: spec.name,
      slot: isGlobal ? 0 : Number(place.key),
      serviceVersion: service.taskVersion,
      nodeId: '',
      desired: 'DESIRED_STATE_RUNNING',
      status: undefined,
      term: 0,
      placementMessage: '',
      createdUnixMs: this.#snapshot.nowMs,
      spec,
    };
    if (!isGlobal && failed.length > 0) this.#avoid.set(task.id, new Set(failed.map(({ nodeId }) => nodeId)));
    this.do({ type: 'create-task', task });
  }

  #pendingOf(service: control.Service): number {
    return this.tasks.ofService(service.id).filter((task) => isLive(task) && task.nodeId === '').length;
  }

  #lacking(service: control.Service, spec: control.ServiceSpec): number {
    return this.#nodePlaces(service, spec).filter((place) => !place.tasks.some(isLive)).length;
  }

  #dueAfter(failed: readonly control.Task[]): number {
    if (failed.length === 0) return 0;
    const last = Math.max(...failed.map(({ id }) => this.#snapshot.stateSince(id)));
    return last + (backoffMs[Math.min(failed.length, backoffMs.length) - 1] ?? 0);
  }

  #forgetHistory(service: control.Service): void {
    const byPlace = new Map<string, control.Task[]>();
    for (const task of this.tasks.ofService(service.id)) {
      if (isWanted(task) || !hasEnded(task)) continue;
      const key = task.slot === 0 ? task.nodeId : String(task.slot);
      byPlace.set(key, [...(byPlace.get(key) ?? []), task]);
    }
    for (const tasks of byPlace.values()) {
      const newestFirst = tasks.sort((a, b) => b.createdUnixMs - a.createdUnixMs);
      // The waits between tries are counted by the failures that are remembered.
      const { keptTasks } = this.#snapshot;
      const kept = tasks.some(isFailure) ? Math.max(keptTasks, backoffMs.length - 1) : keptTasks;
      for (const { id } of newestFirst.slice(kept)) this.do({ type: 'remove-task', taskId: id });
    }
  }
}

/** An older version that is being stopped: its place is not empty yet. */
const isGivingWay = (service: control.Service, task: control.Task): boolean =>
  task.desired === 'DESIRED_STATE_SHUTDOWN' &&
  !hasEnded(task) &&
  task.nodeId !== '' &&
  !isCurrent(service, task);

const isFailure = (task: control.Task): boolean =>
  stateOf(task) === 'TASK_STATE_FAILED' || stateOf(task) === 'TASK_STATE_REJECTED';

/** A node that only restarts keeps its place in a global service. */
function isEligible(node: NodeView, spec: control.ServiceSpec): boolean {
  if (node.condition === 'lost' || node.condition === 'unknown') return false;
  return refusalOfNode({ ...node, condition: 'ready' }, spec) === undefined;
}

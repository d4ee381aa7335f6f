import type { control } from '@gantry/protocol';
import { hasEnded, isWanted, stateOf, type Condition, type NodeView } from '../placement.js';
import { reconcile, type Plan, type Snapshot } from '../reconciler.js';
import { TaskTable } from '../task-table.js';
import { makeNode, makeService, makeStatus } from './models.js';

const tickMs = 500;

interface SimulatedNode {
  readonly id: string;
  /** Its agent hears control and is heard. */
  connected: boolean;
  condition: Condition;
  availability: control.Availability;
  labels: Record<string, string>;
  memoryBytes: number;
  /** Containers that really run here, by task: also while nobody hears of them. */
  readonly containers: Map<string, control.Task>;
}

/** What happens to a task's container at its next step. */
export type Fate = 'well' | 'rejected' | 'failed' | 'complete';

/**
 * Control's pure functions against nodes that do what agents do: they hear of their tasks, start and stop them step by step,
 * and tell. Cut off, they go on; back again, they tell all and remove what they are not told of.
 */
export class SimulatedCluster {
  readonly nodes = new Map<string, SimulatedNode>();
  readonly services = new Map<string, control.Service>();
  tasks = new TaskTable([]);
  nowMs = 1_000_000;
  lastPlan: Plan = { steps: [], wakeAtMs: Infinity };
  /** Looked at whenever steps were performed. */
  afterDecision: (plan: Plan) => void = () => undefined;
  fateOf: (task: control.Task) => Fate = () => 'well';
  #ids = 0;
  readonly #since = new Map<string, { state: control.TaskState; ms: number }>();

  addNode(id: string, parts: Partial<Omit<SimulatedNode, 'id' | 'containers'>> = {}): SimulatedNode {
    const node: SimulatedNode = {
      id,
      connected: true,
      condition: 'ready',
      availability: 'AVAILABILITY_ACTIVE',
      labels: {},
      memoryBytes: 1_000,
      containers: new Map(),
      ...parts,
    };
    this.nodes.set(id, node);
    return node;
  }

  deploy(id: string, spec: Parameters<typeof makeService>[1], restarts = false): control.Service {
    const before = this.services.get(id);
    const made = makeService(id, spec);
    const service: control.Service =
      before === undefined
        ? made
        : {
            ...before,
            spec: made.spec,
            version: before.version + 1,
            ...(restarts
              ? {
                  taskVersion: before.version + 1,
                  previousSpec: before.spec,
                  previousTaskVersion: before.taskVersion,
                  updateStatus: undefined,
                }
              : {}),
          };
    this.services.set(id, service);
    return service;
  }

  removeService(id: string): void {
    const service = this.services.get(id);
    if (service !== undefined) this.services.set(id, { ...service, removing: true });
  }

  snapshot(): Snapshot {
    // Ids depend on nothing but what was made before: two looks at one snapshot see the same.
    let next = this.#ids;
    return {
      nodes: [...this.nodes.values()].map((node) => viewOf(node)),
      services: [...this.services.values()],
      stacks: [],
      tasks: this.tasks.all(),
      nowMs: this.nowMs,
      stateSince: (id) => this.#since.get(id)?.ms ?? 0,
      makeId: () => `t${(next += 1)}`,
      keptTasks: 2,
    };
  }

  /** Decides until nothing is left to do now. Throws when that never comes. */
  decide(): void {
    for (let round = 0; ; round += 1) {
      if (round > 50) throw new Error('control never comes to rest');
      const plan = reconcile(this.snapshot());
      this.lastPlan = plan;
      for (const step of plan.steps) {
        if (step.type === 'update-service') this.services.set(step.service.id, step.service);
        else if (step.type === 'remove-service') this.services.delete(step.serviceId);
        else this.tasks.apply(step);
        if (step.type === 'create-task') this.#ids += 1;
      }
      this.#noteStates();
      this.afterDecision(plan);
      if (plan.steps.length === 0) return;
    }
  }

  /** Time passes: every agent that is connected makes one step with each of its tasks, then control decides. */
  tick(): void {
    this.nowMs += tickMs;
    for (const node of this.nodes.values()) if (node.connected) this.#agentStep(node);
    this.#noteStates();
    this.decide();
  }

  run(ticks: number): void {
    for (let count = 0; count < ticks; count += 1) this.tick();
  }

  /** The machine is gone with all that ran on it; or only its connection. */
  lose(id: string, machineToo: boolean): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    node.connected = false;
    node.condition = 'lost';
    if (machineToo) node.containers.clear();
    this.decide();
  }

  bringBack(id: string): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    node.connected = true;
    node.condition = 'ready';
    this.decide();
  }

  live(serviceId: string): control.Task[] {
    return this.tasks.ofService(serviceId).filter((task) => isWanted(task) && !hasEnded(task));
  }

  /** Everything that really runs of a service, wherever. */
  containersOf(serviceId: string): control.Task[] {
    return [...this.nodes.values()].flatMap(({ containers }) =>
      [...containers.values()].filter((task) => task.serviceId === serviceId),
    );
  }

  setStatus(task: control.Task, state: control.TaskState, parts: Partial<control.TaskStatus> = {}): void {
    this.tasks.set({ ...task, status: makeStatus(state, parts) });
  }

  #agentStep(node: SimulatedNode): void {
    const mine = this.tasks.ofNode(node.id);
    const known = new Set(mine.map(({ id }) => id));
    for (const id of node.containers.keys()) if (!known.has(id)) node.containers.delete(id);
    for (const task of mine) {
      if (task.desired === 'DESIRED_STATE_REMOVED') {
        node.containers.delete(task.id);
        this.tasks.delete(task.id);
      } else if (task.desired === 'DESIRED_STATE_SHUTDOWN') {
        node.containers.delete(task.id);
        if (!hasEnded(task)) this.setStatus(task, 'TASK_STATE_SHUTDOWN');
      } else if (!hasEnded(task)) {
        this.#startStep(node, task);
      }
    }
  }

  #startStep(node: SimulatedNode, task: control.Task): void {
    const fate = this.fateOf(task);
    const state = stateOf(task);
    if (state === 'TASK_STATE_ASSIGNED') {
      this.setStatus(task, 'TASK_STATE_PREPARING');
    } else if (state === 'TASK_STATE_PREPARING') {
      if (fate === 'rejected') this.setStatus(task, 'TASK_STATE_REJECTED', { message: 'no such image' });
      else this.setStatus(task, 'TASK_STATE_STARTING');
    } else if (state === 'TASK_STATE_STARTING') {
      node.containers.set(task.id, task);
      this.setStatus(task, 'TASK_STATE_RUNNING');
    } else if (fate === 'failed' || fate === 'complete') {
      node.containers.delete(task.id);
      if (fate === 'complete') this.setStatus(task, 'TASK_STATE_COMPLETE', { exitCode: 0 });
      else this.setStatus(task, 'TASK_STATE_FAILED', { exitCode: 1, message: 'exited with 1' });
    }
  }

  #noteStates(): void {
    for (const task of this.tasks.all()) {
      const state = stateOf(task);
      if (this.#since.get(task.id)?.state !== state) this.#since.set(task.id, { state, ms: this.nowMs });
    }
  }
}

const viewOf = ({ id, condition, availability, labels, memoryBytes }: SimulatedNode): NodeView =>
  makeNode(id, { condition, availability, labels, status: { memoryBytes, cpuMillis: 1_000 } });

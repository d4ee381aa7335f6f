import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What the gauges are read from at every scrape. */
export interface ControlFigures {
  readonly leader: boolean;
  readonly term: number;
  readonly frozen: boolean;
  readonly revision: number;
  readonly nodes: readonly { readonly id: string; readonly hostname: string; readonly condition: string }[];
  readonly services: readonly {
    readonly stack: string;
    readonly name: string;
    readonly wanted: number;
    readonly running: number;
    readonly rollout: string;
  }[];
  readonly tasks: readonly {
    readonly id: string;
    readonly node: string;
    readonly stack: string;
    readonly service: string;
    readonly state: string;
    readonly container: string;
    readonly unplaced: boolean;
  }[];
}

export const nodeConditions = ['ready', 'restarting', 'lost', 'unknown'] as const;
const rolloutStates = ['updating', 'paused', 'completed', 'rolling_back', 'rolled_back'] as const;
const taskStates = [
  'pending',
  'assigned',
  'preparing',
  'starting',
  'running',
  'complete',
  'shutdown',
  'failed',
  'rejected',
  'lost',
] as const;

export interface ControlMetrics {
  readonly placements: Counter<'result'>;
  readonly leasesExpired: Counter;
  readonly tasksReplaced: Counter<'reason'>;
  readonly writeSeconds: Histogram;
  readonly decisionSeconds: Histogram;
}

/** Control's figures. Those of the cluster's state are the leader's to tell; others show none. */
export function createControlMetrics(registry: Registry, read: () => ControlFigures): ControlMetrics {
  const registers = [registry];
  const gauge = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    collect: (gauge: Gauge<L>, figures: ControlFigures) => void,
  ): void => {
    new Gauge<L>({
      name: `gantry_control_${name}`,
      help,
      labelNames: [...labelNames],
      registers,
      collect() {
        this.reset();
        collect(this, read());
      },
    });
  };
  gauge('leader', 'Whether this control node leads the cluster.', [], (g, { leader }) =>
    g.set(leader ? 1 : 0),
  );
  gauge('term', 'Number of the leader: it grows with every change.', [], (g, { term }) => g.set(term));
  gauge(
    'frozen',
    'Whether nothing is decided because the store is lost, foreign or older than seen.',
    [],
    (g, f) => g.set(f.frozen ? 1 : 0),
  );
  gauge('store_revision', 'Revision of the store last seen.', [], (g, { revision }) => g.set(revision));
  gauge('nodes', 'Nodes by condition.', ['condition'], (g, { nodes }) => {
    for (const condition of nodeConditions) g.set({ condition }, 0);
    for (const { condition } of nodes) g.inc({ condition });
  });
  gauge(
    'node_condition',
    'Condition of each node: 1 for the one it is in.',
    ['node', 'hostname', 'condition'],
    (g, { nodes }) => {
      for (const { id: node, hostname, condition: is } of nodes)
        for (const condition of nodeConditions)
          g.set({ node, hostname, condition }, is === condition ? 1 : 0);
    },
  );
  gauge('services', 'Services of all stacks.', [], (g, { services }) => g.set(services.length));
  gauge('tasks', 'Tasks of all services, by state.', ['state'], (g, { tasks }) => {
    for (const state of taskStates) g.set({ state }, 0);
    for (const { state } of tasks) g.inc({ state });
  });
  gauge('service_tasks_wanted', 'Tasks that a service wants.', ['stack', 'service'], (g, { services }) => {
    for (const { stack, name: service, wanted } of services) g.set({ stack, service }, wanted);
  });
  gauge(
    'service_tasks_running',
    'Tasks of a service that run and are healthy.',
    ['stack', 'service'],
    (g, { services }) => {
      for (const { stack, name: service, running } of services) g.set({ stack, service }, running);
    },
  );
  gauge(
    'task_info',
    'Where each placed task is; name is that of its container.',
    ['node', 'stack', 'service', 'task', 'name'],
    (g, { tasks }) => {
      for (const { id: task, node, stack, service, container: name } of tasks)
        if (node !== '') g.set({ node, stack, service, task, name }, 1);
    },
  );
  gauge('unplaced_tasks', 'Tasks that no node takes.', [], (g, { tasks }) =>
    g.set(tasks.filter(({ unplaced }) => unplaced).length),
  );
  gauge('rollouts', 'Services by the state of their last roll-out.', ['state'], (g, { services }) => {
    for (const state of rolloutStates) g.set({ state }, 0);
    for (const { rollout: state } of services) if (state !== '') g.inc({ state });
  });
  return {
    placements: new Counter({
      name: 'gantry_control_placements_total',
      help: 'Tasks placed, and tasks found to fit nowhere.',
      labelNames: ['result'],
      registers,
    }),
    leasesExpired: new Counter({
      name: 'gantry_control_leases_expired_total',
      help: 'Nodes taken for lost.',
      registers,
    }),
    tasksReplaced: new Counter({
      name: 'gantry_control_tasks_replaced_total',
      help: 'Tasks given up for others, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    writeSeconds: new Histogram({
      name: 'gantry_control_store_write_seconds',
      help: 'Time of one acknowledged write to the store.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2.5],
      registers,
    }),
    decisionSeconds: new Histogram({
      name: 'gantry_control_decision_seconds',
      help: 'Time of one decision: comparing, placing, without writing.',
      buckets: [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
      registers,
    }),
  };
}

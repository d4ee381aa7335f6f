import type { ServiceKit } from '@gantry/bus';
import { Gauge } from 'prom-client';
import type { TaskStateName } from './decide-task.js';

const STATES: readonly TaskStateName[] = [
  'assigned',
  'preparing',
  'starting',
  'running',
  'complete',
  'shutdown',
  'failed',
  'rejected',
];

/** What the figures are read from when they are asked for. */
export interface ClusterFigures {
  readonly member: () => boolean;
  readonly connected: () => boolean;
  readonly frozen: () => boolean;
  readonly leaseSeconds: () => number;
  readonly tasks: () => ReadonlyMap<TaskStateName, number>;
}

/** Figures of the node's place in its cluster. */
export function registerClusterMetrics(registry: ServiceKit['registry'], figures: ClusterFigures): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name: `gantry_agent_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge('cluster_member', 'Whether the node is a member of a cluster: 1 or 0.', () =>
    Number(figures.member()),
  );
  gauge('cluster_connected', "Whether the node's lease runs: 1 or 0.", () => Number(figures.connected()));
  gauge(
    'frozen',
    'Whether the node follows no orders because the store is not the one it knew: 1 or 0.',
    () => Number(figures.frozen()),
  );
  gauge('lease_seconds', "What is left of the node's lease; 0 without one.", figures.leaseSeconds);
  new Gauge({
    name: 'gantry_agent_tasks',
    help: 'Tasks of the node by state.',
    labelNames: ['state'],
    registers,
    collect() {
      const counts = figures.tasks();
      for (const state of STATES) this.set({ state }, counts.get(state) ?? 0);
    },
  });
}

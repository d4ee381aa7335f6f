import type { ServiceKit } from '@gantry/bus';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { NodeFigures } from './node-figures.js';

const STATES = ['created', 'running', 'paused', 'restarting', 'exited', 'removing', 'dead'] as const;

/** Figures of the node agent. */
export function createAgentMetrics(registry: ServiceKit['registry'], figures: NodeFigures) {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number | Promise<number>): void => {
    new Gauge({
      name: `gantry_node_agent_${name}`,
      help,
      registers,
      async collect() {
        this.set(await read());
      },
    });
  };
  gauge('memory_bytes', 'Memory of the machine.', figures.memoryBytes);
  gauge(
    'memory_available_bytes',
    'Memory that programs can still have without swapping, as the kernel estimates it.',
    figures.memoryAvailableBytes,
  );
  gauge(
    'state_disk_bytes',
    'Size of the file system that holds the durable state: images, layers, volumes, logs.',
    async () => (await figures.stateDisk()).size,
  );
  gauge(
    'state_disk_available_bytes',
    'What is left of the file system that holds the durable state.',
    async () => (await figures.stateDisk()).available,
  );
  new Gauge({
    name: 'gantry_node_agent_container_restarts',
    help: "Automatic restarts of a container since the user's last start.",
    labelNames: ['name'],
    registers,
    collect() {
      this.reset();
      for (const { name, restarts } of figures.containers()) this.set({ name }, restarts);
    },
  });
  new Gauge({
    name: 'gantry_node_agent_container_unhealthy',
    help: 'Whether the health check of a container fails: 1 when unhealthy, 0 when healthy or starting; absent without a check.',
    labelNames: ['name'],
    registers,
    collect() {
      this.reset();
      for (const { name, health } of figures.containers())
        if (health !== undefined) this.set({ name }, health === 'unhealthy' ? 1 : 0);
    },
  });
  new Gauge({
    name: 'gantry_node_agent_containers',
    help: 'Containers by state.',
    labelNames: ['state'],
    registers,
    collect() {
      const counts = figures.states();
      for (const state of STATES) this.set({ state }, counts[state] ?? 0);
    },
  });
  return {
    startSeconds: new Histogram({
      name: 'gantry_node_agent_container_start_seconds',
      help: 'From the request to start until the container runs, by outcome.',
      labelNames: ['outcome'],
      buckets: [0.002, 0.004, 0.006, 0.008, 0.012, 0.02, 0.03, 0.06, 0.12, 0.5, 2, 10],
      registers,
    }),
    exits: new Counter({
      name: 'gantry_node_agent_container_exits_total',
      help: 'Containers that ended, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    restarts: new Counter({
      name: 'gantry_node_agent_container_restarts_total',
      help: 'Automatic restarts by policy.',
      registers,
    }),
    steps: new Counter({
      name: 'gantry_node_agent_reconcile_steps_total',
      help: 'Steps performed because records and kernel differed.',
      labelNames: ['step'],
      registers,
    }),
    swept: new Counter({
      name: 'gantry_node_agent_swept_total',
      help: 'Things given back that no record claimed.',
      labelNames: ['kind'],
      registers,
    }),
    reconcileSeconds: new Histogram({
      name: 'gantry_node_agent_reconcile_seconds',
      help: 'Duration of a full comparison of records and kernel.',
      buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
      registers,
    }),
    healthChecks: new Counter({
      name: 'gantry_node_agent_health_checks_total',
      help: 'Health checks run, by result.',
      labelNames: ['result'],
      registers,
    }),
    recordWriteSeconds: new Histogram({
      name: 'gantry_node_agent_record_write_seconds',
      help: 'Duration of a write of a container record, synced or not.',
      labelNames: ['durable'],
      buckets: [0.0001, 0.0005, 0.002, 0.01, 0.05, 0.2, 1],
      registers,
    }),
  };
}

export type AgentMetrics = ReturnType<typeof createAgentMetrics>;

import type { ServiceKit } from '@gantry/bus';
import { Counter, Gauge, Histogram } from 'prom-client';

const STATES = ['created', 'running', 'paused', 'restarting', 'exited', 'removing', 'dead'] as const;

/** Figures of the node agent. */
export function createAgentMetrics(
  registry: ServiceKit['registry'],
  countStates: () => Readonly<Record<string, number>>,
) {
  const registers = [registry];
  new Gauge({
    name: 'gantry_node_agent_containers',
    help: 'Containers by state.',
    labelNames: ['state'],
    registers,
    collect() {
      const counts = countStates();
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

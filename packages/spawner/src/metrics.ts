import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Spawner } from './spawner.js';

export interface SpawnerMetrics {
  /** Request to execve done. */
  readonly startSeconds: Histogram<'kind'>;
  readonly starts: Counter<'kind' | 'result'>;
  readonly exits: Counter<'kind' | 'reason'>;
  readonly logLostRecords: Counter;
  readonly logLostBytes: Counter;
}

export function createSpawnerMetrics(registry: Registry, spawner: () => Spawner): SpawnerMetrics {
  const registers = [registry];
  new Gauge({
    name: 'gantry_spawner_containers',
    help: 'Containers known, by status.',
    labelNames: ['status'],
    registers,
    collect() {
      const all = spawner().list();
      const running = all.filter(({ main }) => main.exit === undefined).length;
      this.set({ status: 'running' }, running);
      this.set({ status: 'exited' }, all.length - running);
    },
  });
  return {
    startSeconds: new Histogram({
      name: 'gantry_spawner_start_seconds',
      help: 'From a start request to execve done, by kind.',
      labelNames: ['kind'],
      buckets: [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10],
      registers,
    }),
    starts: new Counter({
      name: 'gantry_spawner_starts_total',
      help: 'Starts of containers and execs, by result.',
      labelNames: ['kind', 'result'],
      registers,
    }),
    exits: new Counter({
      name: 'gantry_spawner_exits_total',
      help: 'Processes that ended, by kind and reason (exit, signal, lost).',
      labelNames: ['kind', 'reason'],
      registers,
    }),
    logLostRecords: new Counter({
      name: 'gantry_spawner_log_lost_records_total',
      help: 'Log records that could not be written, a full disk for example; adopted containers bring theirs along.',
      registers,
    }),
    logLostBytes: new Counter({
      name: 'gantry_spawner_log_lost_bytes_total',
      help: 'Bytes of container output in the log records that could not be written.',
      registers,
    }),
  };
}

import { readFile, statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import type { HealthStatus } from './health-state.js';
import { countStates } from './node-info.js';
import type { Registry } from './registry.js';

/** What the metrics tell of the node and its containers, read when they are asked for. */
export interface NodeFigures {
  readonly states: () => Readonly<Record<string, number>>;
  readonly containers: () => readonly ContainerFigures[];
  readonly memoryBytes: () => number;
  readonly memoryAvailableBytes: () => Promise<number>;
  /** Bytes. */
  readonly stateDisk: () => Promise<{ readonly size: number; readonly available: number }>;
}

export interface ContainerFigures {
  readonly name: string;
  readonly restarts: number;
  /** Undefined without a health check, and while it does not run. */
  readonly health: HealthStatus | undefined;
}

export function nodeFigures(registry: Registry, stateDirectory: string): NodeFigures {
  return {
    states: () => countStates(registry),
    containers: () =>
      registry.all().map(({ record, life, health }) => ({
        name: record.name,
        restarts: life.restartCount,
        health: record.execution.healthCheck === undefined ? undefined : health?.state.status,
      })),
    memoryBytes: totalmem,
    memoryAvailableBytes: async () => parseAvailable(await readFile('/proc/meminfo', 'utf8')),
    stateDisk: async () => {
      const { bsize, blocks, bavail } = await statfs(stateDirectory);
      return { size: blocks * bsize, available: bavail * bsize };
    },
  };
}

/** Bytes of MemAvailable, see proc_meminfo(5). */
export function parseAvailable(meminfo: string): number {
  return Number(/^MemAvailable: +(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
}

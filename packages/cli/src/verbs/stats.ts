import type { Command } from 'commander';
import type { ContainerStats } from '../client/types.js';
import type { Context } from '../context.js';
import { humanBinarySize, humanSize, shortId } from '../output/human.js';
import { printListing } from '../output/table.js';

interface StatsFlags {
  /** False with --no-stream. */
  stream: boolean;
  format?: string;
  trunc: boolean;
}

export function configureStats(command: Command, context: () => Context): void {
  command
    .argument('[container...]')
    .usage('[flags] [CONTAINER...]')
    .option('--format <format>', "table, json, or a template such as '{{.Name}} {{.CPUPerc}}'")
    .option('--no-stream', 'one reading only')
    .option('--no-trunc', 'whole ids')
    .action((names: string[], flags: StatsFlags) => showStats(context(), names, flags));
}

const columns = [
  ['CONTAINER ID', 'ID'],
  ['NAME', 'Name'],
  ['CPU %', 'CPUPerc'],
  ['MEM USAGE / LIMIT', 'MemUsage'],
  ['MEM %', 'MemPerc'],
  ['NET I/O', 'NetIO'],
  ['BLOCK I/O', 'BlockIO'],
  ['PIDS', 'PIDs'],
] as const;

async function showStats({ client }: Context, container: string[], flags: StatsFlags): Promise<void> {
  const lines = await client.lines<{ stats: ContainerStats[] }>('GET', '/v1/stats', {
    query: { container, once: !flags.stream },
  });
  const redraw = flags.stream && process.stdout.isTTY;
  for await (const { stats } of lines) {
    // Home, and clear what was below.
    if (redraw) process.stdout.write('\x1b[H\x1b[J');
    await printListing(
      { columns, rows: stats.map((one) => rowOf(one, flags.trunc)) },
      { format: flags.format },
    );
    if (!flags.stream) return;
  }
}

function rowOf(stats: ContainerStats, truncate: boolean): Record<string, unknown> {
  const { usage, interfaces, memoryLimitBytes } = stats;
  const memory = usage?.memoryWorkingSetBytes ?? 0;
  const sum = <T>(items: readonly T[], pick: (item: T) => number): number =>
    items.reduce((total, item) => total + pick(item), 0);
  const devices = usage?.blockDevices ?? [];
  return {
    ID: truncate ? shortId(stats.id) : stats.id,
    Container: truncate ? shortId(stats.id) : stats.id,
    Name: stats.name,
    CPUPerc: `${stats.cpuPercent.toFixed(2)}%`,
    MemUsage: `${humanBinarySize(memory)} / ${humanBinarySize(memoryLimitBytes)}`,
    MemPerc: `${(memoryLimitBytes === 0 ? 0 : (memory / memoryLimitBytes) * 100).toFixed(2)}%`,
    NetIO: `${humanSize(sum(interfaces, (one) => one.rxBytes))} / ${humanSize(sum(interfaces, (one) => one.txBytes))}`,
    BlockIO: `${humanSize(sum(devices, (one) => one.readBytes))} / ${humanSize(sum(devices, (one) => one.writeBytes))}`,
    PIDs: String(usage?.pidsCurrent ?? 0),
  };
}

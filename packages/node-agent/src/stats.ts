import { cpus, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Init } from '@gantry/protocol';
import { cgroup, network, type node } from '@gantry/protocol';
import type { Container } from './container.js';
import type { AgentContext } from './context.js';

const ONCE_GAP_MS = 500;
const INTERVAL_MS = 1000;

interface Reading {
  readonly container: Container;
  readonly usage: cgroup.Usage;
  readonly interfaces: readonly network.InterfaceUsage[];
}

/** Percent of one CPU between two readings. */
export function cpuPercent(before: cgroup.Usage | undefined, now: cgroup.Usage): number {
  if (before === undefined) return 0;
  const passed = now.timeUnixNanos - before.timeUnixNanos;
  const used = now.cpuUsageNs - before.cpuUsageNs;
  return passed > 0 && used > 0 ? (used / passed) * 100 : 0;
}

async function read(context: AgentContext, container: Container): Promise<Reading | undefined> {
  const request = { containerId: container.id };
  const [usage, interfaces] = await Promise.allSettled([
    context.bus.call(cgroup.CgroupSupervisor.methods.GetUsage, request),
    context.bus.call(network.NetworkManager.methods.GetInterfaceUsage, request),
  ]);
  // It may have ended since: then it simply is no longer among the answers.
  if (usage.status === 'rejected' || usage.value.usage === undefined) return undefined;
  return {
    container,
    usage: usage.value.usage,
    interfaces: interfaces.status === 'fulfilled' ? interfaces.value.interfaces : [],
  };
}

function render(
  { container, usage, interfaces }: Reading,
  before: cgroup.Usage | undefined,
): Init<node.ContainerStats> {
  return {
    id: container.id,
    name: container.record.name,
    cpuPercent: cpuPercent(before, usage),
    usage,
    interfaces: interfaces.filter(({ name }) => name !== 'lo'),
    onlineCpus: cpus().length,
    memoryLimitBytes: usage.memoryLimitBytes || totalmem(),
  };
}

/** Figures once a second, or once from two readings half a second apart. */
export async function* watchStats(
  context: AgentContext,
  select: () => readonly Container[],
  once: boolean,
  signal: AbortSignal,
): AsyncGenerator<Init<node.WatchStatsResponse>> {
  let before = new Map<string, cgroup.Usage>();
  for (let round = 0; !signal.aborted; round += 1) {
    const readings = await Promise.all(
      select()
        .filter(({ running }) => running)
        .map((container) => read(context, container)),
    );
    const known = readings.filter((reading) => reading !== undefined);
    if (!once || round === 1)
      yield { stats: known.map((reading) => render(reading, before.get(reading.container.id))) };
    if (once && round === 1) return;
    before = new Map(known.map(({ container, usage }) => [container.id, usage]));
    await sleep(once ? ONCE_GAP_MS : INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}

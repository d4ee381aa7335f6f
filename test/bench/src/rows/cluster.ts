import { setTimeout as sleep } from 'node:timers/promises';
import type { control } from '@gantry/protocol';
import { TestCluster, assertNothingLeft, eventually, type TestNode } from '@gantry/test-harness';
import { boxImage } from '../bench-node.js';
import type { Cleanup } from '../cleanup.js';
import type { Repetitions } from '../options.js';
import { readMemoryTogether } from '../process-memory.js';
import { atMost, measured, type Row, type RowId } from '../row.js';
import { median } from '../statistics.js';
import type { Workplace } from '../workplace.js';

const megabytes = (kib: number): number => (kib * 1024) / 1e6;
const stack = 'bench';

/** Our own figures of the same run without a cluster: there is no peer on this machine that has one. */
export interface Alone {
  readonly startMs: number;
  readonly hundredSeconds: number;
  readonly nodeMegabytes: number;
}

export function readAlone(rows: readonly Row[]): Alone {
  const valueOf = (id: RowId): number => rows.find((row) => row.id === id)?.value ?? Number.NaN;
  return {
    startMs: valueOf('start-p50'),
    hundredSeconds: valueOf('hundred-started-bus'),
    nodeMegabytes: valueOf('memory-node-one-process'),
  };
}

/** A control node and two workers on this machine: what they hold when idle, and how fast stacks come to run. */
export async function measureCluster(
  cleanup: Cleanup,
  workplace: Workplace,
  { settleMs, containers, deploys }: Repetitions,
  alone: Alone,
  note: (sentence: string) => void,
): Promise<Row[]> {
  const cluster = await formCluster(cleanup, workplace);
  await sleep(settleMs);
  const control = megabytes(memoryOf(cluster.host(0)));
  const worker = megabytes(memoryOf(cluster.host(1)));

  const door = cluster.host(0);
  const singles: number[] = [];
  // The first finds code that has not run yet and is not counted.
  for (let round = 0; round <= deploys; round += 1) {
    const took = await deploy(door, 1);
    if (round > 0) singles.push(took);
    await remove(cluster);
  }
  const hundred = await deploy(door, containers);
  const spread = await countByNode(door);
  await remove(cluster);
  note(
    `Deploying one task through control: ${Math.min(...singles).toFixed(0)} to ${Math.max(...singles).toFixed(0)} ms in ${deploys} deploys; ` +
      `the ${containers} tasks were spread as ${spread.join(', ')}.`,
  );
  await stop(cluster);
  return [
    {
      id: 'stack-one-p50',
      what: 'deploy → one task runs, through control, p50',
      unit: 'ms',
      value: median(singles),
      peers: [measured('start through the bus', alone.startMs)],
      budgets: [atMost('milestone', 60)],
    },
    {
      id: 'stack-hundred',
      what: `a stack of ${containers} tasks on three nodes: deploy → all run`,
      unit: 's',
      value: hundred / 1000,
      peers: [measured('one node, no control', alone.hundredSeconds)],
      budgets: [atMost('milestone', 5)],
    },
    memoryRow('memory-node-worker', 'idle worker node, nats-server included', worker, alone),
    memoryRow('memory-node-control', 'idle control node, nats-server included', control, alone),
  ];
}

const memoryRow = (id: RowId, what: string, value: number, alone: Alone): Row => ({
  id,
  what,
  unit: 'MB',
  value,
  peers: [measured('no cluster', alone.nodeMegabytes)],
  budgets: [atMost('design', 115)],
});

async function formCluster(cleanup: Cleanup, workplace: Workplace): Promise<TestCluster> {
  const forming = TestCluster.form(['worker', 'worker'], {
    images: [boxImage],
    parentDirectory: workplace.directory,
    config: (host) => ({
      network_manager: { pool_size: 16, id_base: 0x50000000 + host * 0x2000000, id_ranges: 512 },
    }),
  });
  cleanup.defer('the cluster', async () => {
    await (await forming.catch(() => undefined))?.destroy();
  });
  return forming;
}

const memoryOf = (host: TestNode): number =>
  readMemoryTogether([...host.processNames, 'nats-server'].map((name) => host.pidOf(name)));

/** Milliseconds from the request until the roll-out says that all of it runs. */
async function deploy(door: TestNode, replicas: number): Promise<number> {
  const service = {
    name: 'app',
    mode: 'SERVICE_MODE_REPLICATED',
    replicas,
    container: { image: boxImage.reference, command: ['sleep', '100000'], stopTimeoutSeconds: 1 },
  };
  const began = performance.now();
  const { status, body } = await door.api('PUT', `/v1/stacks/${stack}`, { services: [service] });
  if (status >= 300) throw new Error(`the deploy was answered ${status}: ${JSON.stringify(body)}`);
  for await (const line of door.apiLines(`/v1/stacks/${stack}/rollout`)) {
    const { converged, failed } = line as control.WatchRolloutResponse;
    if (failed !== '') throw new Error(`the stack does not run: ${failed}`);
    if (converged) return performance.now() - began;
  }
  throw new Error('the roll-out ended before all ran');
}

async function countByNode(door: TestNode): Promise<number[]> {
  const { body } = await door.api('GET', `/v1/stacks/${stack}/tasks`);
  const counts = new Map<string, number>();
  for (const { nodeId } of (body as control.ListTasksResponse).tasks)
    counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  return [...counts.values()].sort((a, b) => b - a);
}

/** Until nothing of it is left on any host, and the pools are full again. */
async function remove(cluster: TestCluster): Promise<void> {
  const { status, body } = await cluster.host(0).api('DELETE', `/v1/stacks/${stack}`);
  if (status >= 300) throw new Error(`the removal was answered ${status}: ${JSON.stringify(body)}`);
  await eventually(
    'the stack is gone',
    async () =>
      (await cluster.get<control.ListStacksResponse>('/v1/stacks')).stacks.length === 0 &&
      (await cluster.listTaskContainers()).length === 0,
    60_000,
  );
}

async function stop(cluster: TestCluster): Promise<void> {
  for (const host of [...cluster.hosts].reverse()) assertNothingLeft(await host.stop(), host);
}

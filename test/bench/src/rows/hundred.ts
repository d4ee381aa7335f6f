import { setTimeout as sleep } from 'node:timers/promises';
import { boxImage, type BenchNode } from '../bench-node.js';
import type { Podman } from '../peers/podman.js';
import { atMost, measured, published, ratioTo, type Row } from '../row.js';
import type { NodeSession } from '../session.js';
import { median } from '../statistics.js';

const parallel = 8;

/** A hundred containers from the command line, eight commands at a time; while they idle, the memory they cost. */
export async function measureHundred({ node, podman, repetitions, note }: NodeSession): Promise<Row[]> {
  const { containers: count, settleMs } = repetitions;
  const theirs = await runPodman(podman, count);
  // One round before memory is read: what a node learns once is not what a container costs.
  await node.drive({ kind: 'many', image: boxImage.reference, count, parallel }).answer;
  await sleep(settleMs);
  const ours = await runGantry(node, count, settleMs);
  const bus = await node.drive({ kind: 'many', image: boxImage.reference, count, parallel }).answer;

  const perContainer = (kib: number): number => kib / count;
  note(
    `Memory of one of ${count} idle containers: ${ours.shimKiB.toFixed(0)} KiB private to its shim, ` +
      `${perContainer(ours.growthKiB).toFixed(0)} KiB by which gantryd and nats-server together grew.`,
  );
  const budgets = [ratioTo('milestone', 'podman', 1 / 4), ratioTo('design', 'podman', 1 / 8)];
  const row = (id: Row['id'], what: string, value: number, peer: number): Row => ({
    id,
    what,
    unit: 's',
    value: value / 1000,
    peers: [measured('podman', peer / 1000)],
    budgets,
  });
  return [
    row(
      'hundred-started',
      `${count} × run -d, ${parallel} at a time, with network`,
      ours.started,
      theirs.started,
    ),
    row('hundred-removed', `${count} × rm -f, ${parallel} at a time`, ours.removed, theirs.removed),
    row(
      'hundred-started-bus',
      `${count} started through the bus, ${parallel} at a time`,
      bus.started,
      theirs.started,
    ),
    row('hundred-removed-bus', `${count} removed through the bus`, bus.removed, theirs.removed),
    {
      id: 'memory-per-container',
      what: 'private memory per idle container',
      unit: 'KiB',
      value: ours.shimKiB + Math.max(0, perContainer(ours.growthKiB)),
      peers: [measured('conmon', theirs.monitorKiB), published('containerd-shim', 4600)],
      budgets: [atMost('design', 150)],
    },
  ];
}

async function runPodman(
  podman: Podman,
  count: number,
): Promise<{ started: number; removed: number; monitorKiB: number }> {
  const names = Array.from({ length: count }, (_, number) => `bench${number}`);
  const started = await inParallel(names, (name) =>
    podman.time(podman.runWords('-d', '--name', name, boxImage.reference, 'sleep', '100000')),
  );
  const monitors = await podman.readMonitors(count);
  // -t 0: sleep as pid 1 ignores SIGTERM, and podman would wait ten seconds for each.
  const removed = await inParallel(names, (name) => podman.time(['rm', '-f', '-t', '0', name]));
  return { started, removed, monitorKiB: median(monitors.map(({ privateKiB }) => privateKiB)) };
}

async function runGantry(
  node: BenchNode,
  count: number,
  settleMs: number,
): Promise<{ started: number; removed: number; shimKiB: number; growthKiB: number }> {
  const names = Array.from({ length: count }, (_, number) => `bench${number}`);
  const before = node.readMemory();
  const started = await inParallel(names, (name) =>
    node.time(['run', '-d', '--name', name, boxImage.reference, 'sleep', '100000']),
  );
  await sleep(settleMs);
  const after = node.readMemory();
  const shims = await node.readShims();
  if (shims.length !== count) throw new Error(`${shims.length} shims for ${count} containers`);
  const removed = await inParallel(names, (name) => node.time(['rm', '-f', name]));
  return {
    started,
    removed,
    shimKiB: median(shims.map(({ privateKiB }) => privateKiB)),
    growthKiB: after.privateKiB - before.privateKiB,
  };
}

/** Milliseconds until all are done, eight at a time. */
async function inParallel(
  names: readonly string[],
  act: (name: string) => Promise<unknown>,
): Promise<number> {
  const queue = [...names];
  const began = performance.now();
  const workers = Array.from({ length: parallel }, async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) await act(name);
  });
  await Promise.all(workers);
  return performance.now() - began;
}

import { setTimeout as sleep } from 'node:timers/promises';
import { boxImage, type BenchNode } from '../bench-node.js';
import { measured, ratioTo, type Row } from '../row.js';
import { largeReference } from '../registry.js';
import type { NodeSession } from '../session.js';
import { median } from '../statistics.js';

/** Pull and unpack of the large image, one of ours and one of theirs in turn. */
export async function measurePull({ node, podman, repetitions }: NodeSession): Promise<Row[]> {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < repetitions.pulls; round += 1) {
    theirs.push(await podman.time(['pull', '-q', '--tls-verify=false', largeReference]));
    await podman.time(['rmi', largeReference]);
    ours.push(await node.time(['pull', '-q', largeReference]));
    await node.time(['rmi', largeReference]);
  }
  return [
    {
      id: 'pull',
      what: 'pull and unpack the large image',
      unit: 's',
      value: median(ours) / 1000,
      peers: [measured('podman', median(theirs) / 1000)],
      budgets: [ratioTo('design', 'podman', 1 / 3)],
    },
  ];
}

/** Starts while the large image is pulled, again and again until there are enough of them. */
export async function measureStartsDuringPull(
  { node, repetitions, note }: NodeSession,
  idleP50: number,
): Promise<Row[]> {
  const run = node.drive({ kind: 'starts', image: boxImage.reference, warmUp: 5, count: 100_000 });
  // Until the driver runs and has warmed up.
  await sleep(1_000);
  const pulls = await pullRepeatedly(node, Math.max(3_000, repetitions.startsDuringPull * idleP50 * 3));
  run.finish();
  const { samples } = await run.answer;
  const during = samples
    .filter(({ sentUnixMs }) => pulls.some(({ from, to }) => sentUnixMs >= from && sentUnixMs <= to))
    .map(({ running }) => running);
  if (during.length === 0) throw new Error('no container was started while the large image was pulled');
  note(`Starts during a pull: ${during.length} of them began within ${pulls.length} pulls.`);
  return [
    {
      id: 'start-during-pull-p50',
      what: 'start while the large image is pulled, p50',
      unit: 'ms',
      value: median(during),
      peers: [measured('idle', idleP50)],
      budgets: [ratioTo('design', 'idle', 2)],
    },
  ];
}

interface Span {
  readonly from: number;
  readonly to: number;
}

/** Pulls and removes until so many milliseconds were spent pulling; at most ten times. */
async function pullRepeatedly(node: BenchNode, enoughMs: number): Promise<Span[]> {
  const spans: Span[] = [];
  let spent = 0;
  do {
    const from = Date.now();
    await node.time(['pull', '-q', largeReference]);
    const to = Date.now();
    await node.time(['rmi', largeReference]);
    spans.push({ from, to });
    spent += to - from;
  } while (spent < enoughMs && spans.length < 10);
  return spans;
}

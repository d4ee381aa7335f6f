import { setTimeout as sleep } from 'node:timers/promises';
import type { Mode } from '@gantry/test-harness';
import type { BenchNode } from '../bench-node.js';
import type { Podman } from '../peers/podman.js';
import { atMost, measured, published, type Row } from '../row.js';

const megabytes = (kib: number): number => (kib * 1024) / 1e6;

/** Resident memory of a node that has just started, loaded one image and runs nothing. */
export async function measureIdleNode(
  mode: Mode,
  node: BenchNode,
  podman: Podman,
  settleMs: number,
  note: (sentence: string) => void,
): Promise<Row[]> {
  await sleep(settleMs);
  const { residentKiB } = node.readMemory();
  const together = node.readMemoryTogether();
  const service = await podman.readServiceMemory(Math.min(settleMs, 3_000));
  const isOne = mode === 'one-process';
  const title = isOne ? 'one process' : 'separate processes';
  note(
    `Idle node, ${title}: ${megabytes(together).toFixed(0)} MB with pages of one file counted once; ` +
      `the resident sizes of its processes add up to ${megabytes(residentKiB).toFixed(0)} MB.`,
  );
  return [
    {
      id: isOne ? 'memory-node-one-process' : 'memory-node-separate',
      what: `idle node, nats-server included, ${title}`,
      unit: 'MB',
      value: megabytes(together),
      peers: [
        measured('podman system service', megabytes(service.residentKiB)),
        published('dockerd + containerd', 115),
      ],
      budgets: [atMost('design', isOne ? 115 : 350)],
    },
  ];
}

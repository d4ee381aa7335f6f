import { boxImage } from '../bench-node.js';
import { measured, ratioTo, type Row } from '../row.js';
import type { NodeSession } from '../session.js';
import { median } from '../statistics.js';

/** The whole command line, one of ours and one of theirs in turn. */
export async function measureRunCommand({ node, podman, repetitions }: NodeSession): Promise<Row[]> {
  const ours: number[] = [];
  const theirs: number[] = [];
  // The first of each finds cold caches and is not counted.
  for (let pair = 0; pair <= repetitions.pairs; pair += 1) {
    const mine = await node.time(['run', '--rm', boxImage.reference, 'true']);
    const other = await podman.time(podman.runWords('--rm', boxImage.reference, 'true'));
    if (pair === 0) continue;
    ours.push(mine);
    theirs.push(other);
  }
  return [
    {
      id: 'run-rm',
      what: 'run --rm IMAGE true, with network',
      unit: 'ms',
      value: median(ours),
      peers: [measured('podman', median(theirs))],
      budgets: [ratioTo('milestone', 'podman', 1 / 3), ratioTo('design', 'podman', 1 / 4)],
    },
  ];
}

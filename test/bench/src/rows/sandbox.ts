import type { BenchNode } from '../bench-node.js';
import { atMost, measured, type Budget, type Row, type RowId } from '../row.js';
import { percentile } from '../statistics.js';

/** Attaching a sandbox, from a full pool or (on a node without a pool) made on the spot. */
export async function measureSandboxes(
  from: 'pool' | 'cold',
  node: BenchNode,
  netavark: readonly number[],
  count: number,
): Promise<Row[]> {
  const { attached } = await node.drive({ kind: 'sandboxes', count, warmUp: 5 }).answer;
  const row = (id: RowId, percent: number, budgets: readonly Budget[]): Row => ({
    id,
    what: `attach a sandbox ${from === 'pool' ? 'from the pool' : 'cold'}, p${percent}`,
    unit: 'ms',
    value: percentile(attached, percent),
    peers: [measured('netavark', percentile(netavark, percent))],
    budgets,
  });
  return from === 'pool'
    ? [row('sandbox-pool-p50', 50, [atMost('design', 1.5)]), row('sandbox-pool-p99', 99, [])]
    : [row('sandbox-cold-p50', 50, [atMost('design', 6)]), row('sandbox-cold-p99', 99, [])];
}

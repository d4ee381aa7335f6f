/** Milliseconds, seconds, KiB or MB (10^6 bytes); what a figure is counted in. */
export type Unit = 'ms' | 's' | 'KiB' | 'MB';

export interface Peer {
  readonly name: string;
  readonly value: number;
  /** False for a figure that was published by others and is shown for orientation alone: nothing is judged by it. */
  readonly measured: boolean;
}

/** Who asks for a limit: the milestone being built, or the design that all milestones lead to. */
export type BudgetLevel = 'milestone' | 'design';

export type Budget =
  | { readonly level: BudgetLevel; readonly kind: 'absolute'; readonly limit: number }
  /** Our value divided by the peer's. */
  | { readonly level: BudgetLevel; readonly kind: 'ratio'; readonly to: string; readonly limit: number };

export interface Row {
  /** One of `rowIds`. */
  readonly id: RowId;
  readonly what: string;
  readonly unit: Unit;
  readonly value: number;
  readonly peers: readonly Peer[];
  readonly budgets: readonly Budget[];
}

/** Every row that a run must have, in the order of the table. */
export const rowIds = [
  'start-p50',
  'start-p99',
  'start-to-exit-p50',
  'start-during-pull-p50',
  'run-rm',
  'hundred-started',
  'hundred-removed',
  'hundred-started-bus',
  'hundred-removed-bus',
  'memory-per-container',
  'memory-node-one-process',
  'memory-node-separate',
  'pull',
  'sandbox-pool-p50',
  'sandbox-pool-p99',
  'sandbox-cold-p50',
  'sandbox-cold-p99',
  'stack-one-p50',
  'stack-hundred',
  'memory-node-worker',
  'memory-node-control',
] as const;
export type RowId = (typeof rowIds)[number];

/** Peers that a row must have beside it, measured in the same run. */
export const requiredPeers: Readonly<Record<RowId, readonly string[]>> = {
  'start-p50': ['crun', 'runc'],
  'start-p99': ['crun', 'runc'],
  'start-to-exit-p50': ['crun', 'runc'],
  'start-during-pull-p50': ['idle'],
  'run-rm': ['podman'],
  'hundred-started': ['podman'],
  'hundred-removed': ['podman'],
  'hundred-started-bus': ['podman'],
  'hundred-removed-bus': ['podman'],
  'memory-per-container': ['conmon'],
  'memory-node-one-process': ['podman system service'],
  'memory-node-separate': ['podman system service'],
  pull: ['podman'],
  'sandbox-pool-p50': ['netavark'],
  'sandbox-pool-p99': ['netavark'],
  'sandbox-cold-p50': ['netavark'],
  'sandbox-cold-p99': ['netavark'],
  'stack-one-p50': ['start through the bus'],
  'stack-hundred': ['one node, no control'],
  'memory-node-worker': ['no cluster'],
  'memory-node-control': ['no cluster'],
};

export const measured = (name: string, value: number): Peer => ({ name, value, measured: true });
export const published = (name: string, value: number): Peer => ({ name, value, measured: false });

export const atMost = (level: BudgetLevel, limit: number): Budget => ({ level, kind: 'absolute', limit });
export const ratioTo = (level: BudgetLevel, to: string, limit: number): Budget => ({
  level,
  kind: 'ratio',
  to,
  limit,
});

export function peerNamed(row: Row, name: string): Peer | undefined {
  return row.peers.find((peer) => peer.name === name);
}

export function isMet(row: Row, budget: Budget): boolean {
  if (budget.kind === 'absolute') return row.value <= budget.limit;
  const peer = peerNamed(row, budget.to);
  return peer !== undefined && row.value / peer.value <= budget.limit;
}

/** Why these rows are not a whole table; empty when they are. */
export function findGaps(rows: readonly Row[]): string[] {
  return rowIds.flatMap((id) => {
    const row = rows.find((one) => one.id === id);
    if (row === undefined) return [`row ${id} is missing`];
    if (!Number.isFinite(row.value) || row.value <= 0) return [`row ${id} has no figure: ${row.value}`];
    return requiredPeers[id].flatMap((name) => {
      const peer = peerNamed(row, name);
      return peer?.measured === true && Number.isFinite(peer.value) && peer.value > 0
        ? []
        : [`row ${id} lacks its peer ${name}`];
    });
  });
}

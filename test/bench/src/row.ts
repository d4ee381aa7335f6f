/** Milliseconds, seconds, KiB, MB (10^6 bytes) or MB a second; what a figure is counted in. */
export type Unit = 'ms' | 's' | 'KiB' | 'MB' | 'MB/s';

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
  /** Not below: for what is better the more there is of it. */
  | { readonly level: BudgetLevel; readonly kind: 'floor'; readonly limit: number }
  /** Our value without the peer's. */
  | { readonly level: BudgetLevel; readonly kind: 'above'; readonly to: string; readonly limit: number }
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

/** Rows that are measured together, and can be measured alone; in the order of the table. */
export const families = {
  node: [
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
  ],
  spawner: ['spawn-p50', 'spawn-p99', 'spawn-many', 'spawn-many-p50', 'spawn-many-p99', 'adopt-many'],
  'oci-runtime': ['oci-run', 'oci-podman'],
  shim: ['shim-idle', 'shim-logged', 'shim-attached', 'log-100', 'log-20', 'log-binary'],
} as const;
export type Family = keyof typeof families;
export type RowId = (typeof families)[Family][number];
export const allFamilies = Object.keys(families) as readonly Family[];

/** Every row that a whole run must have, in the order of the table. */
export const rowIds: readonly RowId[] = allFamilies.flatMap((family): readonly RowId[] => families[family]);

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
  'spawn-p50': ['crun', 'runc', 'kernel floor'],
  'spawn-p99': ['crun', 'runc', 'kernel floor'],
  'spawn-many': ['crun'],
  'spawn-many-p50': ['crun'],
  'spawn-many-p99': ['crun'],
  'adopt-many': ['crun list'],
  'oci-run': ['runc', 'crun', 'bare Node'],
  'oci-podman': ['podman, crun', 'podman, runc'],
  'shim-idle': ['conmon'],
  'shim-logged': ['conmon'],
  'shim-attached': ['conmon'],
  'log-100': ['conmon'],
  'log-20': ['conmon'],
  'log-binary': ['conmon'],
};

export const measured = (name: string, value: number): Peer => ({ name, value, measured: true });
export const published = (name: string, value: number): Peer => ({ name, value, measured: false });

export const atMost = (level: BudgetLevel, limit: number): Budget => ({ level, kind: 'absolute', limit });
export const atLeast = (level: BudgetLevel, limit: number): Budget => ({ level, kind: 'floor', limit });
export const atMostAbove = (level: BudgetLevel, to: string, limit: number): Budget => ({
  level,
  kind: 'above',
  to,
  limit,
});
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
  if (budget.kind === 'floor') return row.value >= budget.limit;
  const peer = peerNamed(row, budget.to);
  if (peer === undefined) return false;
  return (budget.kind === 'above' ? row.value - peer.value : row.value / peer.value) <= budget.limit;
}

/** Why these rows are not the whole table of these families; empty when they are. */
export function findGaps(rows: readonly Row[], wanted: readonly Family[] = allFamilies): string[] {
  const ids = wanted.flatMap((family): readonly RowId[] => families[family]);
  return ids.flatMap((id) => {
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

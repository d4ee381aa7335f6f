import { readFileSync } from 'node:fs';
import { membershipPaths, writeClusterFile } from '@gantry/membership';

/**
 * The highest that this node has seen of its cluster's store. A store that is behind it has lost what it once knew: then
 * nothing is done by its word, for "no tasks" may only mean "forgotten".
 */
export interface Seen {
  readonly clusterId: string;
  readonly storeGeneration: number;
  readonly revision: number;
  /** Term of the latest leader of that generation. */
  readonly term: number;
}

export type Verdict =
  | { readonly kind: 'take' }
  /** Of a leader that has been followed by another. */
  | { readonly kind: 'drop' }
  | { readonly kind: 'freeze'; readonly reason: string };

/** Whether orders from there may be followed. `leaderTerm`: of whoever answered the latest lease; 0 when unknown. Pure. */
export function judgeOrders(seen: Seen, leaderTerm: number, orders: Seen): Verdict {
  const freeze = (reason: string): Verdict => ({ kind: 'freeze', reason });
  if (orders.clusterId !== seen.clusterId)
    return freeze(
      `orders come from cluster ${orders.clusterId || 'without a name'}, this node belongs to ${seen.clusterId}`,
    );
  if (orders.storeGeneration < seen.storeGeneration)
    return freeze(
      `the store is of generation ${orders.storeGeneration}, this node has seen ${seen.storeGeneration}`,
    );
  if (orders.storeGeneration > seen.storeGeneration) return { kind: 'take' };
  if (orders.term < leaderTerm) return { kind: 'drop' };
  if (orders.revision < seen.revision)
    return freeze(`the store is at revision ${orders.revision}, this node has seen ${seen.revision}`);
  if (orders.term < seen.term)
    return freeze(`the store's leader is of term ${orders.term}, this node has seen ${seen.term}`);
  return { kind: 'take' };
}

/** What has been seen after orders were taken. */
export function seenAfter(seen: Seen, orders: Seen): Seen {
  if (orders.storeGeneration > seen.storeGeneration) return orders;
  return {
    ...seen,
    revision: Math.max(seen.revision, orders.revision),
    term: Math.max(seen.term, orders.term),
  };
}

/** Nothing seen of this cluster when the file is absent, of another cluster, or not to be understood. */
export function readSeen(stateDirectory: string, clusterId: string, storeGeneration: number): Seen {
  const none: Seen = { clusterId, storeGeneration, revision: 0, term: 0 };
  try {
    const value = JSON.parse(readFileSync(membershipPaths(stateDirectory).seen, 'utf8')) as Partial<Seen>;
    if (value.clusterId !== clusterId) return none;
    const number = (one: unknown): number => (typeof one === 'number' && one >= 0 ? one : 0);
    return {
      clusterId,
      storeGeneration: number(value.storeGeneration),
      revision: number(value.revision),
      term: number(value.term),
    };
  } catch {
    return none;
  }
}

export function writeSeen(stateDirectory: string, seen: Seen): void {
  writeClusterFile(membershipPaths(stateDirectory).seen, `${JSON.stringify(seen)}\n`);
}

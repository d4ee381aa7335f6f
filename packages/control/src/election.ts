import { setTimeout as sleep } from 'node:timers/promises';
import { isGantryError } from '@gantry/protocol';
import { decodeJson, encodeJson, type LeaderRecord, type Store } from './store.js';

/** How often others look for the leader's sign, and the leader gives one, milliseconds. */
const lookIntervalMs = 400;
const renewIntervalMs = 1_000;
/** A try to lead that is not answered for so long is made anew: a store that elects its own leader loses what it is sent. */
const tryTimeoutMs = 1_000;
/** A leader whose last acknowledged renewal was sent this long ago stops: well before others take over. */
const abdicateAfterMs = 3_000;

/** The leader's sign seen last, and when, on this node's monotonic clock. */
export interface Sign {
  beat: string;
  heardAtMs: number;
}

export interface ElectionOptions {
  readonly store: Store;
  readonly nodeId: string;
  readonly leaderLeaseMs: number;
  /** Outlives tries that a store which did not answer has ended: a leader that gave no sign meanwhile gave none. */
  readonly sign: Sign;
  readonly signal: AbortSignal;
  /** Called at each look: throws what makes this node stop trying, for instance a view of another generation. */
  readonly check: () => void;
}

/**
 * Waits until this node is leader: there is none, or the one there is has given no sign for the lease. Returns the term and the
 * revision of the winning write. Time is this node's monotonic clock; only the compare-and-set decides.
 *
 * ```
 *   look ──(none │ my own, from before a restart │ no new beat for the lease)──> compare-and-set term + 1 ──> leader
 *    ▲                                                                              │ somebody else was first
 *    └──────────────────────────────────────────────────────────────────────────────┘
 * ```
 */
export async function becomeLeader({
  store,
  nodeId,
  leaderLeaseMs,
  sign,
  signal,
  check,
}: ElectionOptions): Promise<{ term: number; revision: number }> {
  for (;;) {
    signal.throwIfAborted();
    check();
    const entry = await store.read('leader');
    const leader = entry === undefined ? undefined : decodeJson<LeaderRecord>(entry.data);
    const beat = leader === undefined ? '' : `${leader.term}.${leader.beat}`;
    if (beat !== sign.beat) {
      sign.beat = beat;
      sign.heardAtMs = performance.now();
    }
    const isOpen =
      leader === undefined || leader.nodeId === nodeId || performance.now() - sign.heardAtMs >= leaderLeaseMs;
    if (isOpen) {
      const won = await tryToLead(store, nodeId, (leader?.term ?? 0) + 1, entry?.revision);
      if (won !== undefined) return won;
      sign.beat = '';
    }
    await sleep(lookIntervalMs, undefined, { signal });
  }
}

async function tryToLead(
  store: Store,
  nodeId: string,
  term: number,
  revision: number | undefined,
): Promise<{ term: number; revision: number } | undefined> {
  store.expect('leader', revision);
  const record: LeaderRecord = { nodeId, term, beat: 0 };
  try {
    const written = store.write('leader', encodeJson(record)).then(() => 'written' as const);
    written.catch(() => undefined);
    const late = sleep(tryTimeoutMs, 'late' as const, { ref: false });
    // Whether it will have been written shows at the next look: then the leader found is this node.
    if ((await Promise.race([written, late])) === 'late') return undefined;
    return { term, revision: store.revisionOf('leader') ?? 0 };
  } catch (error) {
    if (isGantryError(error) && error.code === 'failed_precondition') return undefined;
    throw error;
  }
}

/** How long ago the last acknowledged renewal was sent: a leader that slept finds here that it may not act. */
export class Beat {
  #sentAt = performance.now();

  acknowledged(sentAt: number): void {
    this.#sentAt = sentAt;
  }

  /** Milliseconds until the leader must stop; negative when it should have. */
  get leftMs(): number {
    return this.#sentAt + abdicateAfterMs - performance.now();
  }
}

/** Renews until the signal aborts or the leadership is lost; resolves with why it is lost. */
export async function keepLeading(
  store: Store,
  nodeId: string,
  term: number,
  heart: Beat,
  signal: AbortSignal,
): Promise<string> {
  for (let beat = 1; !signal.aborted; beat += 1) {
    const sentAt = performance.now();
    const record: LeaderRecord = { nodeId, term, beat };
    const left = heart.leftMs;
    if (left <= 0) return 'the store did not acknowledge in time';
    try {
      const late = sleep(left, 'late' as const, { ref: false });
      const written = store.write('leader', encodeJson(record)).then(() => 'written' as const);
      written.catch(() => undefined);
      if ((await Promise.race([written, late])) === 'late') return 'the store did not acknowledge in time';
      heart.acknowledged(sentAt);
    } catch (error) {
      // A write whose fate is unknown may have been applied: the next one would meet its revision.
      return isGantryError(error) ? error.message : String(error);
    }
    await sleep(renewIntervalMs, undefined, { signal }).catch(() => undefined);
  }
  return 'control is stopping';
}

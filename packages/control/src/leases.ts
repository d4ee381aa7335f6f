import type { Condition } from './placement.js';

/** How often it is asked whether a node whose lease has just ended is connected, milliseconds. */
const decidingIntervalMs = 200;
/** For so long after a lease's end nats-server may not have noticed that the machine is gone, milliseconds. */
const undecidedMs = 2_500;
/** Later a connection that is away for less than this is a server's change of configuration, milliseconds. */
const awayMs = 2_500;
/** How often a node that restarts is looked at, milliseconds. */
const restartingIntervalMs = 1_000;

interface Lease {
  condition: Condition;
  /** The lease's end. */
  untilMs: number;
  /** It announced that it goes down: no evidence is needed until `untilMs`, which is the end of its maintenance. */
  maintenance: boolean;
  /** Since when its machine is not connected, of those that restart. */
  awaySinceMs: number | undefined;
}

export interface LeasesOptions {
  /** Monotonic, milliseconds. */
  readonly nowMs: () => number;
  readonly leaseMs: number;
  /** From the lease's end, for a node whose machine is there. */
  readonly restartLeaseMs: number;
  /** Nodes whose nats-server is connected; rejects when nobody can say. */
  readonly evidence: () => Promise<ReadonlySet<string>>;
  /** A node's condition is another. */
  readonly onChange: (nodeId: string) => void;
  /** A node is lost. */
  readonly expired: (nodeId: string) => void;
}

/**
 * Which nodes are there, judged on this leader's clock alone.
 *
 * ```
 *   unknown ──renewed──> ready <──renewed── restarting, lost
 *      │ a whole lease     │ lease ended          ▲        ▲
 *      └───────────────────┴──> machine there? ───┴─ yes   └─ no, or `restartLeaseMs` are over
 *   ready ──announced──> restarting (without asking)
 * ```
 *
 * A new leader grants every node one whole lease. When it cannot be known whether a machine is there, it is taken to be.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #leases = new Map<string, Lease>();
  #timer: NodeJS.Timeout | undefined;
  #judging = false;
  #closed = false;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** Grants each node that is not known yet a whole lease. */
  grantAll(nodeIds: Iterable<string>): void {
    for (const id of nodeIds) {
      if (this.#leases.has(id)) continue;
      this.#leases.set(id, {
        condition: 'unknown',
        untilMs: this.#options.nowMs() + this.#options.leaseMs,
        maintenance: false,
        awaySinceMs: undefined,
      });
    }
    this.#schedule();
  }

  /** The node was heard of. With `maintenance` it goes down on purpose and keeps its tasks for the restart lease. */
  renew(nodeId: string, maintenance: boolean): void {
    const { nowMs, leaseMs, restartLeaseMs } = this.#options;
    const before = this.conditionOf(nodeId);
    const condition = maintenance ? 'restarting' : 'ready';
    this.#leases.set(nodeId, {
      condition,
      untilMs: nowMs() + (maintenance ? restartLeaseMs : leaseMs),
      maintenance,
      awaySinceMs: undefined,
    });
    this.#schedule();
    if (condition !== before) this.#options.onChange(nodeId);
  }

  /** The node is no member any more. */
  forget(nodeId: string): void {
    this.#leases.delete(nodeId);
  }

  conditionOf(nodeId: string): Condition {
    return this.#leases.get(nodeId)?.condition ?? 'unknown';
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** One timer, for what ends or must be looked at next. */
  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#judging) return;
    const now = this.#options.nowMs();
    let next = Infinity;
    for (const lease of this.#leases.values()) next = Math.min(next, this.#nextLook(lease, now));
    if (next === Infinity) return;
    this.#timer = setTimeout(() => void this.#judge(), Math.max(1, next - now));
  }

  #nextLook(lease: Lease, now: number): number {
    if (lease.condition === 'lost') return Infinity;
    if (now < lease.untilMs) return lease.untilMs;
    const isUndecided = now - lease.untilMs < undecidedMs || lease.awaySinceMs !== undefined;
    // The first look comes at once, when the lease ends.
    return lease.condition === 'restarting' || lease.awaySinceMs !== undefined
      ? now + (isUndecided ? decidingIntervalMs : restartingIntervalMs)
      : now;
  }

  async #judge(): Promise<void> {
    this.#judging = true;
    try {
      // Asked before the clock is read: an answer never condemns a lease that ended after it.
      const ended = this.#ended();
      if (ended.length === 0) return;
      const asks = ended.some(([, lease]) => !this.#isOver(lease));
      const connected = asks ? await this.#options.evidence().catch(() => undefined) : new Set<string>();
      if (this.#closed) return;
      const now = this.#options.nowMs();
      for (const [nodeId, lease] of ended) {
        // Renewed, or forgotten, while the servers were asked.
        if (this.#leases.get(nodeId) !== lease || now < lease.untilMs || lease.condition === 'lost') continue;
        this.#judgeOne(nodeId, lease, connected === undefined || connected.has(nodeId), now);
      }
    } finally {
      this.#judging = false;
      this.#schedule();
    }
  }

  #ended(): [string, Lease][] {
    const now = this.#options.nowMs();
    return [...this.#leases].filter(([, lease]) => lease.condition !== 'lost' && now >= lease.untilMs);
  }

  /** No evidence can help it any more. */
  #isOver(lease: Lease): boolean {
    return lease.maintenance || this.#options.nowMs() - lease.untilMs >= this.#options.restartLeaseMs;
  }

  #judgeOne(nodeId: string, lease: Lease, isConnected: boolean, now: number): void {
    const before = lease.condition;
    if (this.#isOver(lease)) {
      lease.condition = 'lost';
    } else if (isConnected) {
      lease.condition = 'restarting';
      lease.awaySinceMs = undefined;
    } else {
      lease.awaySinceMs ??= now;
      const isGone = now - lease.untilMs < undecidedMs || now - lease.awaySinceMs >= awayMs;
      lease.condition = isGone ? 'lost' : 'restarting';
    }
    if (lease.condition === before) return;
    if (lease.condition === 'lost') this.#options.expired(nodeId);
    this.#options.onChange(nodeId);
  }
}

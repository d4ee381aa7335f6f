import { setTimeout as sleep } from 'node:timers/promises';
import { control, isGantryError, type Init } from '@gantry/protocol';
import type { Caller } from '../context.js';
import { reasonOf } from '../refuse.js';

const RENEW_INTERVAL_MS = 1_000;
const RENEW_DEADLINE_MS = 1_000;
const MAINTENANCE_DEADLINE_MS = 1_000;

const { RenewLease } = control.Dispatcher.methods;

export interface LeaseParts {
  readonly bus: Caller;
  readonly status: () => Init<control.NodeStatus>;
  readonly warn: (fields: Record<string, unknown>, message: string) => void;
  /** Another leader, another term, or an answer after one that did not come: what was streamed may have been lost. */
  readonly onBreak: () => void;
}

/**
 * This node's lease: asked for every second, and judged here on the monotonic clock from the moment of asking, so that the
 * node never believes in it longer than control does.
 */
export class Lease {
  readonly #parts: LeaseParts;
  #endsAt = 0;
  #term = 0;
  #leaderNodeId = '';
  #failing = false;
  #refusal = '';
  readonly #waiting = new Set<() => void>();
  /** Ends the renewing, but not a call that is under way. */
  readonly #ending = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(parts: LeaseParts) {
    this.#parts = parts;
  }

  /** Milliseconds; 0 without a lease. */
  get leftMs(): number {
    return Math.max(0, this.#endsAt - performance.now());
  }

  get held(): boolean {
    return this.leftMs > 0;
  }

  /** Of whoever answered last; 0 before the first answer. */
  get term(): number {
    return this.#term;
  }

  get leaderNodeId(): string {
    return this.held ? this.#leaderNodeId : '';
  }

  /** Why the latest renewal failed; empty when it did not. */
  get refusal(): string {
    return this.#refusal;
  }

  /** Renews until the signal aborts, or the going down is announced. */
  run(signal: AbortSignal): Promise<void> {
    this.#running = this.#run(signal);
    return this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const either = AbortSignal.any([signal, this.#ending.signal]);
    while (!either.aborted) {
      const begun = performance.now();
      await this.#renew(signal);
      const restMs = RENEW_INTERVAL_MS - (performance.now() - begun);
      // After a failure at once again, but never as fast as one can.
      await sleep(Math.max(restMs, 50), undefined, { signal: either }).catch(() => undefined);
    }
  }

  /** Resolves when the lease is held, or after `deadlineMs`: tells which. */
  async untilHeld(deadlineMs: number, signal: AbortSignal): Promise<boolean> {
    if (this.held) return true;
    let renewed: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (renewed = resolve));
    this.#waiting.add(renewed);
    const over = new AbortController();
    const late = sleep(deadlineMs, undefined, { signal: AbortSignal.any([signal, over.signal]) });
    await Promise.race([held, late.catch(() => undefined)]);
    over.abort();
    this.#waiting.delete(renewed);
    return this.held;
  }

  /**
   * Tells control that this node goes down and comes back. Whether it hears that or not, the node goes. It is the last word:
   * a renewal after it would take it back.
   */
  async announceMaintenance(): Promise<void> {
    this.#ending.abort();
    await this.#running;
    await this.#parts.bus
      .call(
        RenewLease,
        { status: this.#parts.status(), maintenance: true, clockUnixMs: Date.now() },
        { deadlineMs: MAINTENANCE_DEADLINE_MS },
      )
      .catch((error: unknown) => {
        this.#parts.warn({ reason: reasonOf(error) }, 'control was not told of the node going down');
      });
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { bus, status, warn, onBreak } = this.#parts;
    const asked = performance.now();
    try {
      const answer = await bus.call(
        RenewLease,
        { status: status(), maintenance: false, clockUnixMs: Date.now() },
        { deadlineMs: RENEW_DEADLINE_MS, signal },
      );
      const another = answer.term !== this.#term || answer.leaderNodeId !== this.#leaderNodeId;
      const broken = (this.#term !== 0 && another) || this.#failing;
      this.#failing = false;
      this.#refusal = '';
      this.#term = answer.term;
      this.#leaderNodeId = answer.leaderNodeId;
      this.#endsAt = asked + answer.leaseMs;
      if (broken) onBreak();
      for (const wake of [...this.#waiting]) wake();
    } catch (error) {
      if (signal.aborted) return;
      this.#failing = true;
      const reason = reasonOf(error);
      if (reason !== this.#refusal && !isGantryError(error, 'deadline_exceeded'))
        warn({ reason }, 'the lease cannot be renewed');
      this.#refusal = reason;
    }
  }
}

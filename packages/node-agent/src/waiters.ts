import { refusal } from './refuse.js';

/** What ends a wait. */
export interface ContainerEnd {
  readonly exitCode: number;
  readonly error: string;
}

export type WaitCondition = 'not-running' | 'next-exit' | 'removed';

interface Waiter {
  readonly condition: WaitCondition;
  readonly resolve: (end: ContainerEnd) => void;
}

/** Those who wait for something to happen to one container. */
export class Waiters {
  readonly #waiters = new Set<Waiter>();

  /** Resolves when the condition is woken; rejects when the signal aborts first. */
  add(condition: WaitCondition, signal: AbortSignal): Promise<ContainerEnd> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters.delete(waiter);
        reject(refusal('deadline_exceeded', 'WaitContainer', '', 'the wait was given up'));
      };
      const waiter: Waiter = {
        condition,
        resolve: (end) => {
          signal.removeEventListener('abort', onAbort);
          resolve(end);
        },
      };
      this.#waiters.add(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
  }

  wake(end: ContainerEnd, ...conditions: readonly WaitCondition[]): void {
    for (const waiter of [...this.#waiters]) {
      if (!conditions.includes(waiter.condition)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(end);
    }
  }
}

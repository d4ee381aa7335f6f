import type { Container } from './spawner.js';

interface Waiter {
  readonly attempt: number;
  readonly resolve: (container: Container) => void;
  readonly reject: (error: unknown) => void;
}

/** Attach before start: clients that wait for a container's attempt to begin. */
export class StartWaiters {
  readonly #waiting = new Map<string, Set<Waiter>>();

  areWaiting(id: string, attempt: number): boolean {
    return [...(this.#waiting.get(id) ?? [])].some((waiter) => waiter.attempt === attempt);
  }

  /** Resolves with the container once this attempt has started; rejects when it fails to, or the signal aborts. */
  wait(id: string, attempt: number, signal: AbortSignal): Promise<Container> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiting.get(id) ?? new Set();
      this.#waiting.set(id, waiters);
      const settle = (): void => {
        waiters.delete(waiter);
        if (waiters.size === 0) this.#waiting.delete(id);
        signal.removeEventListener('abort', abort);
      };
      const abort = (): void => waiter.reject(signal.reason);
      const waiter: Waiter = {
        attempt,
        resolve: (container) => (settle(), resolve(container)),
        reject: (error) => (settle(), reject(error as Error)),
      };
      waiters.add(waiter);
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
    });
  }

  started(id: string, container: Container): void {
    for (const waiter of [...(this.#waiting.get(id) ?? [])]) if (waiter.attempt === container.attempt) waiter.resolve(container);
  }

  failed(id: string, attempt: number, error: unknown): void {
    for (const waiter of [...(this.#waiting.get(id) ?? [])]) if (waiter.attempt === attempt) waiter.reject(error);
  }
}

interface Shared<T, Progress> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  readonly listeners: Set<(progress: Progress) => void>;
  last: Progress | undefined;
}

/**
 * Work that several callers want at the same time is done once. Each hears its progress; it is cancelled when the last of
 * them has gone.
 */
export class SharedWork<T, Progress> {
  readonly #running = new Map<string, Shared<T, Progress>>();

  async join(
    key: string,
    start: (signal: AbortSignal, report: (progress: Progress) => void) => Promise<T>,
    options: { readonly signal: AbortSignal; readonly onProgress: (progress: Progress) => void },
  ): Promise<T> {
    options.signal.throwIfAborted();
    const shared = this.#running.get(key) ?? this.#start(key, start);
    const listener = (progress: Progress): void => options.onProgress(progress);
    shared.listeners.add(listener);
    if (shared.last !== undefined) listener(shared.last);
    const gone = Promise.withResolvers<never>();
    const onAbort = (): void => gone.reject(options.signal.reason);
    options.signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([shared.result, gone.promise]);
    } finally {
      options.signal.removeEventListener('abort', onAbort);
      shared.listeners.delete(listener);
      if (shared.listeners.size === 0) {
        // Whoever comes now starts anew rather than joining work that is being cancelled.
        if (this.#running.get(key) === shared) this.#running.delete(key);
        shared.abort.abort(options.signal.reason);
        // Whoever hears of the end may rely on nothing half-made being left.
        await shared.result.catch(() => undefined);
      }
    }
  }

  #start(
    key: string,
    start: (signal: AbortSignal, report: (progress: Progress) => void) => Promise<T>,
  ): Shared<T, Progress> {
    const abort = new AbortController();
    const listeners = new Set<(progress: Progress) => void>();
    const report = (progress: Progress): void => {
      shared.last = progress;
      for (const listener of listeners) listener(progress);
    };
    const result = Promise.resolve().then(() => start(abort.signal, report));
    const shared: Shared<T, Progress> = { result, abort, listeners, last: undefined };
    this.#running.set(key, shared);
    const forget = (): void => {
      if (this.#running.get(key) === shared) this.#running.delete(key);
    };
    result.then(forget, forget);
    return shared;
  }
}

/** Lets at most `limit` tasks run at a time, in the order they came. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#free = limit;
  }

  async run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => {
      const index = this.#waiting.indexOf(resolve);
      // Not in the line any more: the slot has been given and is given back by the task's end.
      if (index < 0) return;
      this.#waiting.splice(index, 1);
      reject(signal.reason);
    };
    this.#waiting.push(resolve);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}

/** Counts who needs a thing: what nobody holds may be removed. */
export class Holds {
  readonly #counts = new Map<string, number>();

  hold(keys: Iterable<string>): void {
    for (const key of keys) this.#counts.set(key, this.count(key) + 1);
  }

  release(keys: Iterable<string>): void {
    for (const key of keys) {
      const count = this.count(key) - 1;
      if (count > 0) this.#counts.set(key, count);
      else this.#counts.delete(key);
    }
  }

  count(key: string): number {
    return this.#counts.get(key) ?? 0;
  }
}

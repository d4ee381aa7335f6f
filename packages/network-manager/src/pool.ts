import type { SandboxFactory, SandboxKind } from './sandbox-factory.js';
import type { SandboxRecord } from './records.js';

/** What the pool holds: the kind nearly every container wants. */
export const pooledKind: SandboxKind = Object.freeze({ network: 'bridge', ownUserNamespace: true });
const retryMs = 1_000;

/** Ready sandboxes, made one at a time in the background so that starts keep the kernel's locks for themselves. */
export class SandboxPool {
  readonly #factory: SandboxFactory;
  readonly #target: number;
  readonly #warn: (fields: Record<string, unknown>, message: string) => void;
  readonly #ready: SandboxRecord[] = [];
  #filling: Promise<void> = Promise.resolve();
  #fills = false;
  #closed = true;
  #retry: NodeJS.Timeout | undefined;

  constructor(
    factory: SandboxFactory,
    target: number,
    warn: (fields: Record<string, unknown>, message: string) => void,
  ) {
    this.#factory = factory;
    this.#target = target;
    this.#warn = warn;
  }

  get ready(): number {
    return this.#ready.length;
  }

  get target(): number {
    return this.#target;
  }

  /** Takes over a ready sandbox; one above the target is destroyed. */
  adopt(record: SandboxRecord): void {
    if (this.#ready.length < this.#target) this.#ready.push(record);
    else this.#factory.destroy(record);
  }

  /** Begins to keep the pool filled. */
  open(): void {
    this.#closed = false;
    this.#refill();
  }

  /** The oldest ready sandbox, undefined when there is none. */
  take(): SandboxRecord | undefined {
    const record = this.#ready.shift();
    // After whoever takes it has its answer: making the next one begins with work on this thread.
    setImmediate(() => this.#refill());
    return record;
  }

  /** Stops filling and waits for the sandbox in the making. The ready ones stay. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#filling;
  }

  /** Stops filling and destroys what is ready. */
  async drain(): Promise<void> {
    await this.close();
    for (const record of this.#ready.splice(0)) this.#factory.destroy(record);
  }

  /** Resolves when the pool is as full as it gets. */
  async filled(): Promise<void> {
    do {
      await new Promise((resolve) => setImmediate(resolve));
      await this.#filling;
    } while (this.#fills);
  }

  #refill(): void {
    if (this.#fills || this.#closed || this.#ready.length >= this.#target) return;
    this.#fills = true;
    this.#filling = this.#fill().finally(() => {
      this.#fills = false;
    });
  }

  async #fill(): Promise<void> {
    while (!this.#closed && this.#ready.length < this.#target) {
      try {
        this.#ready.push(await this.#factory.make(pooledKind));
      } catch (error) {
        this.#warn({ err: error }, 'the pool cannot be filled now');
        this.#retry = setTimeout(() => this.#refill(), retryMs);
        this.#retry.unref();
        return;
      }
    }
  }
}

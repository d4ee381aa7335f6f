import type { LayerProgressReport } from './layer-store.js';

/** How often a layer's progress is told, milliseconds. */
const periodMs = 100;

/**
 * Turns callbacks of long work into a stream that a slow reader cannot make grow: of each layer only the latest state waits.
 */
export class ProgressFeed<Item> {
  readonly #latest = new Map<string, LayerProgressReport>();
  readonly #items: Item[] = [];
  #wake: () => void = () => undefined;
  #done = false;
  #failure: { readonly error: unknown } | undefined;

  readonly onProgress = (report: LayerProgressReport): void => {
    this.#latest.set(report.digest, report);
    this.#wake();
  };

  readonly onItem = (item: Item): void => {
    this.#items.push(item);
    this.#wake();
  };

  /** Runs the work and yields what it tells, its items after the progress that came before them. Throws what it throws. */
  async *follow(
    work: Promise<void>,
  ): AsyncGenerator<{ readonly layer: LayerProgressReport } | { readonly item: Item }> {
    work.then(
      () => this.#finish(undefined),
      (error: unknown) => this.#finish({ error }),
    );
    for (;;) {
      for (const [digest, layer] of [...this.#latest]) {
        this.#latest.delete(digest);
        yield { layer };
      }
      for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) yield { item };
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#latest.size > 0 || this.#items.length > 0) continue;
      if (this.#done) return;
      await this.#changed();
    }
  }

  #finish(failure: { readonly error: unknown } | undefined): void {
    this.#failure = failure;
    this.#done = true;
    this.#wake();
  }

  /** Waits for news; for mere progress a little longer, so that much of it becomes one message. */
  async #changed(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve));
    if (this.#done || this.#items.length > 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, periodMs);
      this.#wake = () => {
        if (!this.#done && this.#items.length === 0) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

import { image } from '@gantry/protocol';
import type { Caller } from '../context.js';

export interface PullWish {
  readonly reference: string;
  /** "always", "missing" or "never". */
  readonly policy: string;
  readonly username: string;
  readonly password: string;
}

interface Pull {
  readonly done: Promise<void>;
  readonly stop: AbortController;
  waiting: number;
}

/** Fetches images for tasks: tasks that want the same at the same time share one pull. */
export class ImagePulls {
  readonly #bus: Caller;
  readonly #underWay = new Map<string, Pull>();

  constructor(bus: Caller) {
    this.#bus = bus;
  }

  /** Resolves when the image is here. The pull ends when nobody waits for it any more. */
  async fetch(wish: PullWish, signal: AbortSignal): Promise<void> {
    const key = JSON.stringify(wish);
    const pull = this.#underWay.get(key) ?? this.#begin(key, wish);
    pull.waiting += 1;
    let onAbort: () => void = () => undefined;
    const left = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(new Error('the image is not wanted any more'));
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
    });
    try {
      await Promise.race([pull.done, left]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      pull.waiting -= 1;
      if (pull.waiting === 0) {
        pull.stop.abort();
        // Whoever comes now begins another.
        if (this.#underWay.get(key) === pull) this.#underWay.delete(key);
      }
    }
  }

  #begin(key: string, wish: PullWish): Pull {
    const stop = new AbortController();
    const done = this.#run(wish, stop.signal).finally(() => {
      if (this.#underWay.get(key)?.stop === stop) this.#underWay.delete(key);
    });
    done.catch(() => undefined);
    const pull: Pull = { done, stop, waiting: 0 };
    this.#underWay.set(key, pull);
    return pull;
  }

  async #run(wish: PullWish, signal: AbortSignal): Promise<void> {
    const stream = await this.#bus.openStream(
      image.ImageStore.methods.PullImage,
      { ...wish, platform: '' },
      { signal },
    );
    for await (const { image: pulled } of stream) if (pulled !== undefined) return;
    throw new Error(`the pull of ${wish.reference} ended without an image`);
  }
}

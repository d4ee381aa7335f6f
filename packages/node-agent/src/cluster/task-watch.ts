import { setTimeout as sleep } from 'node:timers/promises';
import { control, type Init } from '@gantry/protocol';
import type { Caller } from '../context.js';
import { reasonOf } from '../refuse.js';

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 1_000;

export interface TaskWatchParts {
  readonly bus: Caller;
  readonly request: () => Init<control.WatchTasksRequest>;
  /** A new stream begins: its first messages are the whole. */
  readonly onOpen: () => void;
  /** False: the orders are not followed; the stream is given up and opened again after a while. */
  readonly onMessage: (message: control.WatchTasksResponse) => boolean;
  readonly debug: (fields: Record<string, unknown>, message: string) => void;
}

/** Holds WatchTasks open for ever, at whichever node leads. */
export class TaskWatch {
  readonly #parts: TaskWatchParts;
  #current = new AbortController();

  constructor(parts: TaskWatchParts) {
    this.#parts = parts;
  }

  /** Opens it anew, at once: there is another leader, or messages may have been lost. */
  reopen(): void {
    this.#current.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    let waitMs = FIRST_WAIT_MS;
    while (!signal.aborted) {
      const current = new AbortController();
      this.#current = current;
      const either = AbortSignal.any([signal, current.signal]);
      try {
        const stream = await this.#parts.bus.openStream(
          control.Dispatcher.methods.WatchTasks,
          this.#parts.request(),
          { signal: either },
        );
        this.#parts.onOpen();
        for await (const message of stream) {
          if (either.aborted) break;
          if (!this.#parts.onMessage(message)) {
            waitMs = LONGEST_WAIT_MS;
            break;
          }
          waitMs = FIRST_WAIT_MS;
        }
      } catch (error) {
        this.#parts.debug({ reason: reasonOf(error) }, 'the stream of tasks ended');
      }
      if (current.signal.aborted) continue;
      await sleep(waitMs, undefined, { signal: either }).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
    }
  }
}

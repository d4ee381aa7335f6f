import { setTimeout as sleep } from 'node:timers/promises';
import { asGantryError } from '@gantry/protocol';
import type { RunningService } from '@gantry/bus';
import type { Logger } from 'pino';

/** How long after a start that failed the next one is tried, milliseconds. */
const retryMs = 2_000;
/** How long is waited for a start or stop; it goes on behind. A start waits for a bus that may be away for long. */
const patienceMs = 10_000;

/**
 * Runs control while the node's role says so. A start that fails is tried again: a node that cannot lead its cluster still
 * runs its containers.
 */
export class ControlKeeper {
  readonly #start: () => Promise<RunningService>;
  readonly #logger: Logger;
  #wanted = false;
  #running: RunningService | undefined;
  #work: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;

  constructor(start: () => Promise<RunningService>, logger: Logger) {
    this.#start = start;
    this.#logger = logger;
  }

  get running(): RunningService | undefined {
    return this.#running;
  }

  /** Resolves when it runs, or has stopped, as wanted, or after 10 s. What fails is logged; a start is tried again. */
  async want(wanted: boolean): Promise<void> {
    this.#wanted = wanted;
    this.#work = this.#work.then(() => this.#agree());
    const patience = new AbortController();
    await Promise.race([
      this.#work,
      sleep(patienceMs, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
  }

  async #agree(): Promise<void> {
    clearTimeout(this.#retry);
    try {
      if (this.#wanted && this.#running === undefined) this.#running = await this.#start();
      else if (!this.#wanted && this.#running !== undefined) {
        const running = this.#running;
        this.#running = undefined;
        await running.stop();
      }
    } catch (error) {
      const { message } = asGantryError(error, 'control');
      this.#logger.error({ reason: message }, `control could not be ${this.#wanted ? 'started' : 'stopped'}`);
      if (this.#wanted) this.#retry = setTimeout(() => void this.want(this.#wanted), retryMs);
    }
  }
}

import { asGantryError } from '@gantry/protocol';
import type { RunningService } from '@gantry/bus';
import type { Logger } from 'pino';

/** How long after a start that failed the next one is tried, milliseconds. */
const retryMs = 2_000;

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

  /** Resolves when it runs, or has stopped, as wanted; a failed start is logged and tried again. */
  want(wanted: boolean): Promise<void> {
    this.#wanted = wanted;
    this.#work = this.#work.then(() => this.#agree());
    return this.#work;
  }

  async #agree(): Promise<void> {
    clearTimeout(this.#retry);
    if (this.#wanted && this.#running === undefined) {
      try {
        this.#running = await this.#start();
      } catch (error) {
        const { message } = asGantryError(error, 'start control');
        this.#logger.error({ reason: message }, 'control could not be started, will be tried again');
        this.#retry = setTimeout(() => void this.want(this.#wanted), retryMs);
      }
    } else if (!this.#wanted && this.#running !== undefined) {
      const running = this.#running;
      this.#running = undefined;
      await running.stop();
    }
  }
}

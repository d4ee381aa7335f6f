import type { AgentContext } from './context.js';
import { transition, type LifecycleEvent } from './lifecycle.js';
import type { ContainerRecord } from './record.js';
import { isDiskFull, reasonOf, refusal } from './refuse.js';

/**
 * One container's record in memory and on disk. What is to happen is saved before it happens, and not being able to is
 * an error. What has happened is noted: a full disk must keep nobody from stopping and removing things, so that is told
 * in the log and tried again.
 */
export class KeptRecord {
  readonly #context: AgentContext;
  #record: ContainerRecord;
  #unwritten = false;

  constructor(context: AgentContext, record: ContainerRecord) {
    this.#context = context;
    this.#record = record;
  }

  get current(): ContainerRecord {
    return this.#record;
  }

  /** True: the disk does not have the latest yet. */
  get unwritten(): boolean {
    return this.#unwritten;
  }

  /** In memory only. */
  change(change: Partial<ContainerRecord>): void {
    this.#record = Object.freeze({ ...this.#record, ...change });
  }

  /** Applies an event to the state machine, in memory only; false when it changes nothing. */
  transit(event: LifecycleEvent): boolean {
    const { life, policy } = this.#record;
    const next = transition(life, event, policy);
    if (next === life) return false;
    this.change({ life: Object.freeze(next) });
    return true;
  }

  /** Writes it; `durable` outlives a power loss. Rejects when that cannot be. */
  async save(durable: boolean): Promise<void> {
    const done = this.#context.metrics.recordWriteSeconds.startTimer({ durable: durable ? 'yes' : 'no' });
    const { id, name } = this.#record;
    try {
      if (durable) await this.#context.records.writeDurably(this.#record);
      else this.#context.records.write(this.#record);
      this.#unwritten = false;
    } catch (error) {
      this.#unwritten = true;
      const full = isDiskFull(error);
      const reason = full ? 'the disk that holds it is full' : reasonOf(error);
      throw refusal(
        full ? 'resource_exhausted' : 'internal',
        'WriteRecord',
        id,
        `the record of container ${name} cannot be written: ${reason}`,
        error,
      );
    } finally {
      done();
    }
  }

  /** Writes what has happened already; whether the disk has room for it or not, it goes on. */
  async note(durable: boolean): Promise<void> {
    await this.save(durable).catch((error: unknown) => {
      this.#context.logger.error(
        { container: this.#record.id, reason: reasonOf(error) },
        'record not written',
      );
    });
  }
}

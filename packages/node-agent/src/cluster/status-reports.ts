import { setTimeout as sleep } from 'node:timers/promises';
import { control, type Init } from '@gantry/protocol';
import type { Caller } from '../context.js';
import { reasonOf } from '../refuse.js';

/** What is on its way to something better is told a little later: mostly it is there by then. */
const PASSING_MS = 150;
const SOON_MS = 2;
/** Keeps a message far below the largest. */
const MOST_AT_ONCE = 200;
const DEADLINE_MS = 5_000;
const RETRY_MS = 500;

type Report = Init<control.TaskReport>;

/** Tells control of the tasks: the latest of each, several at a time, until it has answered. */
export class StatusReports {
  readonly #pending = new Map<string, Report>();
  readonly #warn: (fields: Record<string, unknown>, message: string) => void;
  #bus: Caller | undefined;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Infinity;
  #sending = false;

  constructor(warn: (fields: Record<string, unknown>, message: string) => void) {
    this.#warn = warn;
  }

  /** Where reports go from now on; undefined: nowhere, and what waits is forgotten, for the next stream begins with all. */
  direct(bus: Caller | undefined): void {
    this.#bus = bus;
    if (bus !== undefined) return;
    this.#pending.clear();
    clearTimeout(this.#timer);
    this.#dueAt = Infinity;
  }

  /** @param passing - a state that another will soon follow */
  tell(taskId: string, report: Report, passing: boolean): void {
    if (this.#bus === undefined) return;
    // Told in the order of its latest news.
    this.#pending.delete(taskId);
    this.#pending.set(taskId, report);
    this.#schedule(passing ? PASSING_MS : SOON_MS);
  }

  /** Resolves when nothing waits to be told, or after `deadlineMs`. */
  async settled(deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs;
    while ((this.#pending.size > 0 || this.#sending) && performance.now() < end) await sleep(10);
  }

  #schedule(waitMs: number): void {
    const dueAt = performance.now() + waitMs;
    if (this.#sending || dueAt >= this.#dueAt) return;
    this.#dueAt = dueAt;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#send(), waitMs);
  }

  async #send(): Promise<void> {
    const bus = this.#bus;
    this.#dueAt = Infinity;
    if (bus === undefined || this.#sending) return;
    this.#sending = true;
    const batch = [...this.#pending].slice(0, MOST_AT_ONCE);
    let failed = false;
    for (const [id] of batch) this.#pending.delete(id);
    try {
      await bus.call(
        control.Dispatcher.methods.ReportStatus,
        { reports: batch.map(([, report]) => report) },
        { deadlineMs: DEADLINE_MS },
      );
    } catch (error) {
      failed = true;
      this.#warn({ reason: reasonOf(error) }, 'control was not told of tasks, will be tried again');
      // Newer news of a task is the only news.
      for (const [id, report] of batch) if (!this.#pending.has(id)) this.#pending.set(id, report);
    }
    this.#sending = false;
    if (this.#bus !== bus) return;
    if (this.#pending.size > 0) this.#schedule(failed ? RETRY_MS : SOON_MS);
  }
}

import type { common } from '@gantry/protocol';

/** What is remembered for those who begin to watch later. */
const keptEvents = 1_000;
/** A watcher that is further behind than this is let go: it lists the truth again. */
const waitingEvents = 10_000;

export type EventType = 'node' | 'stack' | 'service' | 'task' | 'cluster';

/** What happens in the cluster while this leader leads it: hints, the last thousand of them remembered. */
export class EventLog {
  readonly #nowUnixNanos: () => number;
  readonly #kept: common.NodeEvent[] = [];
  readonly #listeners = new Set<(event: common.NodeEvent) => void>();

  constructor(nowUnixNanos: () => number = () => Date.now() * 1e6) {
    this.#nowUnixNanos = nowUnixNanos;
  }

  publish(
    type: EventType,
    action: string,
    id: string,
    attributes: Readonly<Record<string, string>> = {},
  ): void {
    const event: common.NodeEvent = {
      timeUnixNanos: this.#nowUnixNanos(),
      type,
      action,
      id,
      attributes: Object.entries(attributes).map(([key, value]) => ({ key, value })),
    };
    this.#kept.push(event);
    if (this.#kept.length > keptEvents) this.#kept.shift();
    for (const listener of this.#listeners) listener(event);
  }

  /** Kept events from `sinceUnixNanos` on (none for 0), then those that come, until the signal aborts. */
  async *watch(sinceUnixNanos: number, signal: AbortSignal): AsyncGenerator<common.NodeEvent> {
    const queue =
      sinceUnixNanos > 0 ? this.#kept.filter(({ timeUnixNanos }) => timeUnixNanos >= sinceUnixNanos) : [];
    let wake: () => void = () => undefined;
    let isBehind = false;
    const listener = (event: common.NodeEvent): void => {
      if (queue.length < waitingEvents) queue.push(event);
      else isBehind = true;
      wake();
    };
    const abort = (): void => wake();
    this.#listeners.add(listener);
    signal.addEventListener('abort', abort, { once: true });
    const isOver = (): boolean => signal.aborted || isBehind;
    try {
      while (!isOver()) {
        const event = queue.shift();
        if (event === undefined) await new Promise<void>((resolve) => (wake = resolve));
        else yield event;
      }
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener('abort', abort);
    }
  }
}

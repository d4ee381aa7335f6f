import type { common } from '@gantry/protocol';

export type NodeEvent = common.NodeEvent;

/** What happened on this node: the latest events, and whoever listens. */
export class EventLog {
  readonly #kept: NodeEvent[] = [];
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  readonly #limit: number;
  readonly #publish: (event: NodeEvent) => void;

  /** @param publish - tells the other services of the node */
  constructor(limit: number, publish: (event: NodeEvent) => void) {
    this.#limit = limit;
    this.#publish = publish;
  }

  /** Something of ours happened: kept, heard here, and told on the bus. */
  emit(type: string, action: string, id: string, attributes: Readonly<Record<string, string>>): void {
    const event: NodeEvent = {
      timeUnixNanos: Date.now() * 1e6,
      type,
      action,
      id,
      attributes: Object.entries(attributes).map(([key, value]) => ({ key, value })),
    };
    this.take(event);
    this.#publish(event);
  }

  /** Something another service told of. */
  take(event: NodeEvent): void {
    this.#kept.push(event);
    if (this.#kept.length > this.#limit) this.#kept.shift();
    for (const listener of this.#listeners) listener(event);
  }

  since(unixNanos: number): readonly NodeEvent[] {
    return this.#kept.filter((event) => event.timeUnixNanos >= unixNanos);
  }

  listen(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

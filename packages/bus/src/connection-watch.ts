import { setTimeout as sleep } from 'node:timers/promises';
import { Events, type NatsConnection } from 'nats';

/** Knows whether the connection to nats-server stands, and tells those who wait for it or lose by it. */
export class ConnectionWatch {
  #connected = true;
  readonly #reconnectListeners = new Set<() => void>();
  readonly #lossListeners = new Set<() => void>();

  constructor(connection: NatsConnection) {
    void this.#watch(connection);
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Calls back after every lost and regained connection. Returns the function that stops it. */
  onReconnect(listener: () => void): () => void {
    this.#reconnectListeners.add(listener);
    return () => this.#reconnectListeners.delete(listener);
  }

  /** Calls back when the connection is lost. Returns the function that stops it. */
  onLoss(listener: () => void): () => void {
    this.#lossListeners.add(listener);
    return () => this.#lossListeners.delete(listener);
  }

  /** Waits until the connection stands; false when `timeoutMs` or the signal comes first. */
  async untilConnected(timeoutMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#connected) return true;
    const over = new AbortController();
    let stopListening: () => void = () => undefined;
    const back = new Promise<true>((resolve) => (stopListening = this.onReconnect(() => resolve(true))));
    const abort = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
    const late = sleep(timeoutMs, false as const, { signal: abort }).catch(() => false as const);
    const connected = await Promise.race([back, late]);
    stopListening();
    over.abort();
    return connected;
  }

  /** What comes of `pending`, or undefined when the connection is lost first: whether it arrived is then unknown. */
  async unlessLost<T>(pending: Promise<T>): Promise<T | undefined> {
    let stopListening: () => void = () => undefined;
    const loss = new Promise<undefined>((resolve) => (stopListening = this.onLoss(() => resolve(undefined))));
    pending.catch(() => undefined);
    try {
      return await Promise.race([pending, loss]);
    } finally {
      stopListening();
    }
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === Events.Disconnect) {
        this.#connected = false;
        for (const listener of [...this.#lossListeners]) listener();
      }
      if (status.type === Events.Reconnect) {
        this.#connected = true;
        for (const listener of [...this.#reconnectListeners]) listener();
      }
    }
  }
}

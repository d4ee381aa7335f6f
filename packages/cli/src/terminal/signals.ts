import { ExitWith } from '../failures.js';

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const;
const impatience = 3;

/** What happens to a signal that we get, which changes while a command goes on. */
export class SignalProxy {
  #onSignal: (signal: NodeJS.Signals) => void;
  readonly #listeners: readonly (readonly [NodeJS.Signals, () => void])[];

  constructor(onSignal: (signal: NodeJS.Signals) => void) {
    this.#onSignal = onSignal;
    this.#listeners = forwarded.map((signal) => [signal, () => this.#onSignal(signal)] as const);
    for (const [signal, listener] of this.#listeners) process.on(signal, listener);
  }

  /** From now on signals go to the container. Whoever asks three times to end has waited enough. */
  forwardTo(send: (signal: string) => Promise<unknown>): void {
    let asked = 0;
    this.#onSignal = (signal) => {
      if (signal === 'SIGINT' || signal === 'SIGTERM') asked += 1;
      if (asked > impatience) {
        process.stderr.write(`gantry: leaves after ${asked} signals; the container goes on\n`);
        process.exit(1);
      }
      // It may have ended meanwhile; its exit code tells.
      send(signal).catch(() => undefined);
    };
  }

  close(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener);
  }
}

const numbers: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 };

/** How a shell tells that a signal ended the command. */
export const endedBySignal = (signal: string): ExitWith => new ExitWith(128 + (numbers[signal] ?? 0));

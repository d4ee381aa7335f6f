/** What was made and how to take it back: undone last first, once, whatever ended the run. */
export class Cleanup {
  readonly #steps: { readonly what: string; readonly undo: () => Promise<void> | void }[] = [];
  #running: Promise<void> | undefined;

  defer(what: string, undo: () => Promise<void> | void): void {
    this.#steps.push({ what, undo });
  }

  get hasBegun(): boolean {
    return this.#running !== undefined;
  }

  /** Takes everything back. Rejects with all that failed together. */
  run(): Promise<void> {
    this.#running ??= this.#undoAll();
    return this.#running;
  }

  async #undoAll(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (cause) {
        errors.push(new Error(`cannot take back ${step.what}`, { cause }));
      }
    }
    if (errors.length > 0)
      throw new AggregateError(errors, 'something of the benchmark is left on this machine');
  }
}

/** Runs the work; afterwards, and on Ctrl-C, SIGTERM or SIGHUP too, everything it deferred is undone. */
export async function withCleanup<T>(work: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const cleanup = new Cleanup();
  const endWith = (code: number): void => {
    cleanup.run().then(
      () => process.exit(code),
      (error: unknown) => {
        console.error(error);
        process.exit(code);
      },
    );
  };
  const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
  for (const [signal, code] of Object.entries(signals)) {
    process.on(signal, () => {
      if (!cleanup.hasBegun) process.stderr.write(`\n${signal}: taking everything back\n`);
      endWith(code);
    });
  }
  // Nobody reads on (EPIPE), say: no reason to leave a node behind.
  process.on('uncaughtException', (error) => {
    process.stderr.write(`${String(error.stack)}\n`);
    endWith(1);
  });
  try {
    return await work(cleanup);
  } finally {
    // After a signal the work fails because its parts go away; the handler above ends the process.
    if (cleanup.hasBegun) await new Promise(() => undefined);
    await cleanup.run();
  }
}

/** Does one thing at a time, in the order asked. A container has one; nothing else is locked. */
export class Actor {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** True when nothing is being done and nothing waits. */
  get idle(): boolean {
    return this.#waiting === 0;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const result = this.#last.then(work);
    this.#last = result.then(
      () => (this.#waiting -= 1),
      () => (this.#waiting -= 1),
    );
    return result;
  }
}

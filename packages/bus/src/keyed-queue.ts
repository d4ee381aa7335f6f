/**
 * Runs the work of one key in the order it came, that of different keys at the same time: an actor per container,
 * task or file, and no lock over all. Work that fails does not keep the next from running.
 */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** What the work comes to, once all that came before under the key has settled. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const turn = before.then(work, work);
    const tail = turn.catch(() => undefined);
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return turn;
  }
}

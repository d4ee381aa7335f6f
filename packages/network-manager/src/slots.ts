/**
 * Numbers 0 … size-1 handed out one holder each. The search goes on from where the last one ended, so that a number
 * rests as long as possible before it comes back: caches and connection tracking forget its last holder.
 */
export class Slots {
  readonly #taken = new Set<number>();
  readonly #size: number;
  #next = 0;

  constructor(size: number) {
    this.#size = size;
  }

  get size(): number {
    return this.#size;
  }

  get taken(): number {
    return this.#taken.size;
  }

  /** Undefined when every number is taken. */
  take(): number | undefined {
    if (this.#taken.size >= this.#size) return undefined;
    while (this.#taken.has(this.#next)) this.#next = (this.#next + 1) % this.#size;
    const slot = this.#next;
    this.#taken.add(slot);
    this.#next = (slot + 1) % this.#size;
    return slot;
  }

  /** Takes a certain number, as found in a record; false when it is taken or out of range. */
  claim(slot: number): boolean {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.#size || this.#taken.has(slot)) return false;
    this.#taken.add(slot);
    if (slot >= this.#next) this.#next = (slot + 1) % this.#size;
    return true;
  }

  give(slot: number): void {
    this.#taken.delete(slot);
  }
}

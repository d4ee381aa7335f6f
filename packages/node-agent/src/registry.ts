import type { Container } from './container.js';
import { refusal } from './refuse.js';

/** Every container of the node, by id and by name. Names are unique, also those of containers being made. */
export class Registry {
  readonly #containers = new Map<string, Container>();
  readonly #names = new Map<string, string>();
  readonly #keys = new Map<string, Promise<Container>>();
  readonly #byKey = new Map<string, Container>();
  /** Being made: nothing of theirs is swept though no record claims it yet. */
  readonly creating = new Set<string>();

  get size(): number {
    return this.#containers.size;
  }

  all(): readonly Container[] {
    return [...this.#containers.values()];
  }

  get(id: string): Container | undefined {
    return this.#containers.get(id);
  }

  add(container: Container): void {
    this.#containers.set(container.id, container);
    this.#names.set(container.record.name, container.id);
    const { idempotencyKey } = container.record;
    if (idempotencyKey !== '') this.#byKey.set(idempotencyKey, container);
  }

  remove(container: Container): void {
    this.#containers.delete(container.id);
    if (this.#names.get(container.record.name) === container.id) this.#names.delete(container.record.name);
    const { idempotencyKey } = container.record;
    if (idempotencyKey !== '') this.#keys.delete(idempotencyKey);
    this.#byKey.delete(idempotencyKey);
  }

  /** The container that was made under the key. */
  withKey(idempotencyKey: string): Container | undefined {
    return this.#byKey.get(idempotencyKey);
  }

  isTaken(name: string): boolean {
    return this.#names.has(name);
  }

  /** Takes a name; refuses one that is held, naming the holder. */
  reserve(name: string, id: string, operation: string): void {
    const holder = this.#names.get(name);
    if (holder !== undefined && holder !== id)
      throw refusal(
        'already_exists',
        operation,
        name,
        `the name ${name} is in use by container ${holder}: remove or rename it, or choose another name`,
      );
    this.#names.set(name, id);
  }

  releaseName(name: string, id: string): void {
    if (this.#names.get(name) === id) this.#names.delete(name);
  }

  /** The same key makes one container, however often it is asked for. */
  once(key: string, make: () => Promise<Container>): Promise<Container> {
    if (key === '') return make();
    const known = this.#keys.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#keys.set(key, made);
    made.catch(() => this.#keys.delete(key));
    return made;
  }

  remember(key: string, container: Container): void {
    if (key !== '') this.#keys.set(key, Promise.resolve(container));
  }

  /** By full id, name, or unique prefix of an id. */
  find(reference: string, operation: string): Container {
    const named = this.#names.get(reference);
    const exact =
      this.#containers.get(reference) ?? (named === undefined ? undefined : this.#containers.get(named));
    if (exact !== undefined) return exact;
    if (/^[0-9a-f]{1,64}$/.test(reference)) {
      const [first, second] = this.all().filter(({ id }) => id.startsWith(reference));
      if (second !== undefined)
        throw refusal(
          'invalid_argument',
          operation,
          reference,
          `several containers have ids that begin with ${reference}`,
        );
      if (first !== undefined) return first;
    }
    throw refusal(
      'not_found',
      operation,
      reference,
      reference === '' ? 'no container is named' : `there is no container ${reference}`,
    );
  }
}

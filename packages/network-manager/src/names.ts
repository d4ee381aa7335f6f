import type { Address } from './ipv4.js';

/** What a container is called. */
export interface ContainerNames {
  /** Names that every container of the node finds it by. */
  readonly names: readonly string[];
  /** Name space of `aliases`; empty for none. */
  readonly scope?: string | undefined;
  /** Names that only containers of the same scope find it by; several may share one. */
  readonly aliases?: readonly string[] | undefined;
}

interface Entry {
  readonly address: Address;
  readonly names: readonly string[];
  readonly scope: string;
  readonly aliases: readonly string[];
}

type Addresses = Map<string, Address>;

/** Which names lead to which container addresses, both ways. Names are compared without regard to case. */
export class NameTable {
  readonly #addressesByName = new Map<string, Addresses>();
  /** First by scope, then by alias. */
  readonly #addressesByAlias = new Map<string, Map<string, Addresses>>();
  readonly #byContainer = new Map<string, Entry>();
  readonly #containersByAddress = new Map<Address, Set<string>>();

  /** Replaces all names of the container. */
  set(containerId: string, address: Address, { names, scope = '', aliases = [] }: ContainerNames): void {
    this.delete(containerId);
    const entry: Entry = {
      address,
      names: folded(names),
      scope,
      aliases: scope === '' ? [] : folded(aliases),
    };
    this.#byContainer.set(containerId, entry);
    for (const name of entry.names) put(this.#addressesByName, name, containerId, address);
    if (entry.aliases.length > 0) {
      const inScope = this.#addressesByAlias.get(scope) ?? new Map<string, Addresses>();
      for (const alias of entry.aliases) put(inScope, alias, containerId, address);
      this.#addressesByAlias.set(scope, inScope);
    }
    const holders = this.#containersByAddress.get(address) ?? new Set<string>();
    holders.add(containerId);
    this.#containersByAddress.set(address, holders);
  }

  delete(containerId: string): void {
    const entry = this.#byContainer.get(containerId);
    if (entry === undefined) return;
    this.#byContainer.delete(containerId);
    for (const name of entry.names) take(this.#addressesByName, name, containerId);
    const inScope = this.#addressesByAlias.get(entry.scope);
    if (inScope !== undefined) {
      for (const alias of entry.aliases) take(inScope, alias, containerId);
      if (inScope.size === 0) this.#addressesByAlias.delete(entry.scope);
    }
    const holders = this.#containersByAddress.get(entry.address);
    holders?.delete(containerId);
    if (holders?.size === 0) this.#containersByAddress.delete(entry.address);
  }

  /**
   * Addresses that a name has for whoever asks from `asker`: those of its own scope's aliases first, which nobody else
   * can take from it. Undefined when there is no such name.
   */
  addressesOf(name: string, asker?: Address): Address[] | undefined {
    const folded = foldName(name);
    const addresses = this.#aliasFor(folded, asker) ?? this.#addressesByName.get(folded);
    return addresses === undefined ? undefined : [...new Set(addresses.values())];
  }

  #aliasFor(alias: string, asker: Address | undefined): Addresses | undefined {
    if (asker === undefined || this.#addressesByAlias.size === 0) return undefined;
    for (const id of this.#containersByAddress.get(asker) ?? []) {
      const scope = this.#byContainer.get(id)?.scope ?? '';
      const found = this.#addressesByAlias.get(scope)?.get(alias);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The first name of every container at the address; undefined when there is no container. */
  namesAt(address: Address): string[] | undefined {
    const holders = this.#containersByAddress.get(address);
    if (holders === undefined) return undefined;
    return [...holders].flatMap((id) => this.#byContainer.get(id)?.names.slice(0, 1) ?? []);
  }

  namesOf(containerId: string): readonly string[] {
    return this.#byContainer.get(containerId)?.names ?? [];
  }
}

function put(table: Map<string, Addresses>, name: string, containerId: string, address: Address): void {
  const addresses = table.get(name) ?? new Map<string, Address>();
  addresses.set(containerId, address);
  table.set(name, addresses);
}

function take(table: Map<string, Addresses>, name: string, containerId: string): void {
  const addresses = table.get(name);
  addresses?.delete(containerId);
  if (addresses?.size === 0) table.delete(name);
}

function folded(names: readonly string[]): readonly string[] {
  return [...new Set(names.map(foldName))];
}

function foldName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** True for what may stand before an address in DNS and be a container's name: letters, digits, '-', '_' and '.'. */
export function isContainerName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => /^[A-Za-z0-9_-]{1,63}$/.test(label));
}

import type { Address } from './ipv4.js';

/** Which names lead to which container addresses, both ways. Names are compared without regard to case. */
export class NameTable {
  readonly #addressesByName = new Map<string, Map<string, Address>>();
  readonly #byContainer = new Map<string, { readonly names: readonly string[]; readonly address: Address }>();
  readonly #containersByAddress = new Map<Address, Set<string>>();

  /** Replaces all names of the container. */
  set(containerId: string, address: Address, names: readonly string[]): void {
    this.delete(containerId);
    const folded = [...new Set(names.map(foldName))];
    this.#byContainer.set(containerId, { names: folded, address });
    for (const name of folded) {
      const addresses = this.#addressesByName.get(name) ?? new Map<string, Address>();
      addresses.set(containerId, address);
      this.#addressesByName.set(name, addresses);
    }
    const holders = this.#containersByAddress.get(address) ?? new Set<string>();
    holders.add(containerId);
    this.#containersByAddress.set(address, holders);
  }

  delete(containerId: string): void {
    const entry = this.#byContainer.get(containerId);
    if (entry === undefined) return;
    this.#byContainer.delete(containerId);
    for (const name of entry.names) {
      const addresses = this.#addressesByName.get(name);
      addresses?.delete(containerId);
      if (addresses?.size === 0) this.#addressesByName.delete(name);
    }
    const holders = this.#containersByAddress.get(entry.address);
    holders?.delete(containerId);
    if (holders?.size === 0) this.#containersByAddress.delete(entry.address);
  }

  /** Undefined when no container has the name. */
  addressesOf(name: string): Address[] | undefined {
    const addresses = this.#addressesByName.get(foldName(name));
    return addresses === undefined ? undefined : [...new Set(addresses.values())];
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

function foldName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** True for what may stand before an address in DNS and be a container's name: letters, digits, '-', '_' and '.'. */
export function isContainerName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => /^[A-Za-z0-9_-]{1,63}$/.test(label));
}

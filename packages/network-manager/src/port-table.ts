import { GantryError } from '@gantry/protocol';
import { formatAddress, parseAddress, type Address } from './ipv4.js';

export type Protocol = 'tcp' | 'udp';

/** A port of the host that leads to a port of a container. */
export interface PublishedPort {
  readonly protocol: Protocol;
  /** 0.0.0.0 (0) means every address of the host. */
  readonly hostAddress: Address;
  readonly hostPort: number;
  readonly containerPort: number;
}

/** A port as asked for: `hostPort` 0 wants any free one. */
export type WantedPort = PublishedPort;

/** What says that a host process holds a port: undefined when none does. */
export type HostPortCheck = (protocol: Protocol, address: Address, port: number) => string | undefined;

interface Holding {
  readonly port: PublishedPort;
  readonly holder: string;
}

/** Which published port belongs to whom. */
export class PortTable {
  readonly #holdings = new Map<string, Holding[]>();
  readonly #range: { readonly first: number; readonly last: number };
  readonly #usedOnHost: HostPortCheck;
  #next: number;

  constructor(range: { readonly first: number; readonly last: number }, usedOnHost: HostPortCheck) {
    this.#range = range;
    this.#usedOnHost = usedOnHost;
    this.#next = range.first;
  }

  get size(): number {
    let count = 0;
    for (const holdings of this.#holdings.values()) count += holdings.length;
    return count;
  }

  /** Takes all or none. `describe` names a holder for the error message. */
  reserve(
    wanted: readonly WantedPort[],
    holder: string,
    describe: (holder: string) => string,
  ): PublishedPort[] {
    const given: PublishedPort[] = [];
    try {
      for (const port of wanted)
        given.push(port.hostPort === 0 ? this.#takeAny(port, holder) : this.#take(port, holder, describe));
    } catch (error) {
      this.release(given);
      throw error;
    }
    return given;
  }

  /** Takes ports that a record says are held, without asking the host: their packets are already ours. */
  adopt(ports: readonly PublishedPort[], holder: string): void {
    for (const port of ports) this.#add(port, holder);
  }

  release(ports: readonly PublishedPort[]): void {
    for (const port of ports) {
      const key = keyOf(port.protocol, port.hostPort);
      const left = (this.#holdings.get(key) ?? []).filter((one) => one.port.hostAddress !== port.hostAddress);
      if (left.length === 0) this.#holdings.delete(key);
      else this.#holdings.set(key, left);
    }
  }

  /** Every port of every holder. */
  *all(): Iterable<Holding> {
    for (const holdings of this.#holdings.values()) yield* holdings;
  }

  #take(port: PublishedPort, holder: string, describe: (holder: string) => string): PublishedPort {
    const taken = this.#conflict(port);
    if (taken !== undefined) {
      throw new GantryError({
        code: 'already_exists',
        operation: 'AttachSandbox',
        object: formatPort(port),
        message: `port ${formatPort(port)} is already published by ${describe(taken.holder)}`,
      });
    }
    const process = this.#usedOnHost(port.protocol, port.hostAddress, port.hostPort);
    if (process !== undefined) {
      throw new GantryError({
        code: 'failed_precondition',
        operation: 'AttachSandbox',
        object: formatPort(port),
        message: `port ${formatPort(port)} cannot be published: ${process}`,
      });
    }
    this.#add(port, holder);
    return port;
  }

  #takeAny(wanted: WantedPort, holder: string): PublishedPort {
    const { first, last } = this.#range;
    for (let tries = last - first + 1; tries > 0; tries--) {
      const hostPort = this.#next;
      this.#next = hostPort === last ? first : hostPort + 1;
      const port = Object.freeze({ ...wanted, hostPort });
      if (this.#conflict(port) !== undefined) continue;
      if (this.#usedOnHost(port.protocol, port.hostAddress, hostPort) !== undefined) continue;
      this.#add(port, holder);
      return port;
    }
    throw new GantryError({
      code: 'resource_exhausted',
      operation: 'AttachSandbox',
      object: `${first}-${last}`,
      message: `no ${wanted.protocol} port of the host is free in ${first}-${last}`,
    });
  }

  #conflict(port: PublishedPort): Holding | undefined {
    return this.#holdings
      .get(keyOf(port.protocol, port.hostPort))
      ?.find(
        (one) =>
          one.port.hostAddress === port.hostAddress || one.port.hostAddress === 0 || port.hostAddress === 0,
      );
  }

  #add(port: PublishedPort, holder: string): void {
    const key = keyOf(port.protocol, port.hostPort);
    this.#holdings.set(key, [...(this.#holdings.get(key) ?? []), { port, holder }]);
  }
}

function keyOf(protocol: Protocol, port: number): string {
  return `${protocol}/${port}`;
}

/** "0.0.0.0:8080/tcp" */
export function formatPort(port: PublishedPort): string {
  return `${formatAddress(port.hostAddress)}:${port.hostPort}/${port.protocol}`;
}

interface PortBindingFields {
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
}

/** Decodes bindings at the edge; one sentence for each thing that is wrong. */
export function parsePorts(bindings: readonly PortBindingFields[]): WantedPort[] {
  return bindings.map((binding) => {
    const refuse = (message: string): never => {
      throw new GantryError({
        code: 'invalid_argument',
        operation: 'AttachSandbox',
        object: String(binding.hostPort),
        message,
      });
    };
    const protocol = binding.protocol === '' ? 'tcp' : binding.protocol;
    if (protocol !== 'tcp' && protocol !== 'udp')
      return refuse(`protocol "${binding.protocol}" of port ${binding.containerPort} is neither tcp nor udp`);
    if (!isPort(binding.containerPort))
      return refuse(`container port ${binding.containerPort} is not between 1 and 65535`);
    if (binding.hostPort !== 0 && !isPort(binding.hostPort))
      return refuse(`host port ${binding.hostPort} is not between 1 and 65535`);
    const hostAddress = binding.hostIp === '' ? 0 : parseAddress(binding.hostIp);
    if (hostAddress === undefined)
      return refuse(`host address "${binding.hostIp}" of port ${binding.hostPort} is not an IPv4 address`);
    return Object.freeze({
      protocol,
      hostAddress,
      hostPort: binding.hostPort,
      containerPort: binding.containerPort,
    });
  });
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535;
}

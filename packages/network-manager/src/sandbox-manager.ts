import { GantryError } from '@gantry/protocol';
import type { Firewall } from './firewall.js';
import { KeyedQueue } from '@gantry/bus';
import { isKernelError, type Kernel, type Link, type Sysctl } from './kernel.js';
import type { NameTable } from './names.js';
import { pooledKind, type SandboxPool } from './pool.js';
import type { PortTable, PublishedPort, WantedPort } from './port-table.js';
import type { Holder, RecordStore, SandboxRecord } from './records.js';
import type { Forward } from './ruleset.js';
import type { SandboxFactory, SandboxKind } from './sandbox-factory.js';

/** What a container asks for, checked. */
export interface AttachRequest {
  readonly containerId: string;
  readonly network: 'bridge' | 'none' | 'host' | 'container';
  readonly ownUserNamespace: boolean;
  /** With `container`: whose sandbox. */
  readonly joinContainerId: string;
  readonly names: readonly string[];
  /** Name space of `aliases`; empty for none. */
  readonly scope: string;
  readonly aliases: readonly string[];
  readonly ports: readonly WantedPort[];
  readonly sysctls: readonly Sysctl[];
  readonly dnsServers: readonly string[];
}

/** Where an attached sandbox came from. */
export type SandboxSource = 'pool' | 'cold' | 'joined' | 'held';

export interface SandboxManagerParts {
  readonly kernel: Kernel;
  readonly store: RecordStore;
  readonly factory: SandboxFactory;
  readonly pool: SandboxPool;
  readonly firewall: Firewall;
  readonly ports: PortTable;
  readonly names: NameTable;
  /** Brings bridge and rules back; used when making a sandbox fails. */
  readonly repair: () => Promise<unknown>;
  readonly warn: (fields: Record<string, unknown>, message: string) => void;
  readonly observeAttach: (source: SandboxSource, seconds: number) => void;
}

/** Who holds which sandbox. One container's calls run one after the other, different containers' at the same time. */
export class SandboxManager {
  readonly #parts: SandboxManagerParts;
  readonly #queue = new KeyedQueue();
  /** Held sandboxes by their own id. */
  readonly #sandboxes = new Map<string, SandboxRecord>();
  readonly #sandboxOf = new Map<string, string>();
  #closed = false;

  constructor(parts: SandboxManagerParts) {
    this.#parts = parts;
  }

  /** Sandboxes that containers hold. */
  get sandboxCount(): number {
    return this.#sandboxes.size;
  }

  get holderCount(): number {
    return this.#sandboxOf.size;
  }

  /** Takes over a held sandbox found at start-up. */
  adopt(record: SandboxRecord): void {
    const { ports, firewall } = this.#parts;
    this.#sandboxes.set(record.id, record);
    for (const holder of record.holders) this.#note(record, holder);
    ports.adopt(record.ports, record.owner);
    firewall.adopt(forwardsOf(record));
  }

  /** Gives the container a sandbox; one that holds a sandbox already keeps it, whatever the request says. */
  async attach(request: AttachRequest): Promise<SandboxRecord> {
    return await this.#queue.run(request.containerId, async () => {
      const started = performance.now();
      const before = this.find(request.containerId);
      const [record, source] =
        before !== undefined
          ? ([before, 'held'] as const)
          : request.network === 'container'
            ? this.#join(request)
            : await this.#give(request);
      this.#parts.observeAttach(source, (performance.now() - started) / 1_000);
      return record;
    });
  }

  /** Gives back what the container holds; nothing is no error. Its sandbox goes with its last holder. */
  async detach(containerId: string): Promise<void> {
    await this.#queue.run(containerId, async () => {
      const held = this.find(containerId);
      if (held === undefined) return;
      const { names, factory } = this.#parts;
      names.delete(containerId);
      const lastHolder = held.holders.length === 1;
      // Published ports belong to the container that published them, not to those that joined it.
      if (held.ports.length > 0 && (lastHolder || held.owner === containerId)) await this.#unpublish(held);
      const now = this.#sandboxes.get(held.id) ?? held;
      const holders = now.holders.filter((holder) => holder.containerId !== containerId);
      this.#sandboxOf.delete(containerId);
      if (holders.length > 0) {
        this.#update({ ...now, holders });
      } else {
        this.#sandboxes.delete(now.id);
        factory.destroy(now);
      }
    });
  }

  /** Replaces the container's names. */
  async setNames(containerId: string, names: readonly string[]): Promise<void> {
    await this.#queue.run(containerId, async () => {
      const record = await Promise.resolve(this.get(containerId, 'SetNames'));
      const holders = record.holders.map((holder) =>
        holder.containerId === containerId ? { ...holder, names } : holder,
      );
      const renamed = this.#update({ ...record, holders });
      for (const holder of renamed.holders)
        if (holder.containerId === containerId) this.#note(renamed, holder);
    });
  }

  find(containerId: string): SandboxRecord | undefined {
    const id = this.#sandboxOf.get(containerId);
    return id === undefined ? undefined : this.#sandboxes.get(id);
  }

  get(containerId: string, operation: string): SandboxRecord {
    const record = this.find(containerId);
    if (record !== undefined) return record;
    throw new GantryError({
      code: 'not_found',
      operation,
      object: containerId,
      message: `container ${shorten(containerId)} holds no sandbox`,
    });
  }

  /** Every holder with its sandbox, ordered by container id. */
  holders(): { readonly containerId: string; readonly record: SandboxRecord }[] {
    return [...this.#sandboxOf.keys()].sort().flatMap((containerId) => {
      const record = this.find(containerId);
      return record === undefined ? [] : [{ containerId, record }];
    });
  }

  /** Host interfaces of the sandboxes that publish ports. */
  publishingInterfaces(): Set<string> {
    return new Set(
      [...this.#sandboxes.values()]
        .filter((record) => record.ports.length > 0)
        .map((record) => record.hostInterface),
    );
  }

  /** Resolvers asked for by whoever holds the address. */
  dnsServersAt(address: number): readonly string[] {
    for (const record of this.#sandboxes.values())
      if (record.address === address) return record.holders.flatMap((holder) => holder.dnsServers);
    return [];
  }

  /** Counters of the links inside; none for a container in the host's network. */
  async usage(containerId: string): Promise<Link[]> {
    const record = this.get(containerId, 'GetInterfaceUsage');
    if (record.network === 'host') return [];
    return await this.#parts.kernel.listLinksInside(`${this.#parts.factory.directoryOf(record.id)}/net`);
  }

  /** Refuses attaching from now on. */
  close(): void {
    this.#closed = true;
  }

  #join(request: AttachRequest): readonly [SandboxRecord, SandboxSource] {
    const target = this.find(request.joinContainerId);
    if (target === undefined) {
      throw new GantryError({
        code: 'not_found',
        operation: 'AttachSandbox',
        object: request.joinContainerId,
        message: `container ${shorten(request.joinContainerId)} holds no sandbox to join`,
      });
    }
    const holder = holderOf(request);
    const joined = this.#update({ ...target, holders: [...target.holders, holder] });
    this.#sandboxOf.set(request.containerId, joined.id);
    this.#note(joined, holder);
    return [joined, 'joined'];
  }

  async #give(request: AttachRequest): Promise<readonly [SandboxRecord, SandboxSource]> {
    if (this.#closed) {
      throw new GantryError({
        code: 'failed_precondition',
        operation: 'AttachSandbox',
        object: request.containerId,
        message: 'the network of this node is taken down; start gantry again',
      });
    }
    const { ports, pool, factory, firewall } = this.#parts;
    const given = ports.reserve(
      request.ports,
      request.containerId,
      (holder) => `container ${this.#describe(holder)}`,
    );
    let empty: SandboxRecord | undefined;
    try {
      const kind: SandboxKind = {
        network: request.network as SandboxRecord['network'],
        ownUserNamespace: request.ownUserNamespace,
      };
      const pooled = isPooled(kind) ? pool.take() : undefined;
      empty = pooled ?? (await this.#make(kind));
      const record = await this.#fill(empty, request, given);
      return [record, pooled === undefined ? 'cold' : 'pool'];
    } catch (error) {
      if (empty !== undefined)
        await firewall.unpublish(forwardsOf({ ...empty, ports: given })).catch(() => undefined);
      ports.release(given);
      // A sandbox that was once given out is not ready any more, even when nobody used it.
      if (empty !== undefined) factory.destroy(empty);
      throw error;
    }
  }

  /** Makes an empty sandbox the container's. The record is complete before anything of it is done. */
  async #fill(
    empty: SandboxRecord,
    request: AttachRequest,
    ports: readonly PublishedPort[],
  ): Promise<SandboxRecord> {
    const { kernel, firewall, store, factory } = this.#parts;
    const holder = holderOf(request);
    const held: SandboxRecord = Object.freeze({
      ...empty,
      state: 'held',
      owner: request.containerId,
      holders: [holder],
      ports,
    });
    if (request.sysctls.length > 0 || ports.length > 0) {
      store.write({ ...held, state: 'attaching' });
      if (request.sysctls.length > 0)
        await writeSysctls(kernel, `${factory.directoryOf(empty.id)}/net`, request.sysctls);
      if (ports.length > 0)
        await Promise.all([firewall.publish(forwardsOf(held)), kernel.setHairpin([held.hostInterface])]);
    }
    store.write(held);
    this.#sandboxes.set(held.id, held);
    this.#note(held, holder);
    return held;
  }

  async #make(kind: SandboxKind): Promise<SandboxRecord> {
    try {
      return await this.#parts.factory.make(kind);
    } catch (error) {
      const cause = error instanceof GantryError ? error.cause : undefined;
      // The bridge we knew is not there any more: somebody deleted it.
      if (
        kind.network !== 'bridge' ||
        !isKernelError(cause) ||
        (cause.code !== 'ENODEV' && cause.code !== 'EINVAL')
      )
        throw error;
      await this.#parts.repair();
      return await this.#parts.factory.make(kind);
    }
  }

  async #unpublish(record: SandboxRecord): Promise<void> {
    const { firewall, ports, kernel, warn } = this.#parts;
    await firewall.unpublish(forwardsOf(record));
    // In the background: the rule is gone, and new connections with it.
    kernel.cutConnections(record.address).catch((error: unknown) => {
      warn({ err: error, sandbox: record.id }, 'connections to a container cannot be cut');
    });
    ports.release(record.ports);
    this.#update({ ...(this.#sandboxes.get(record.id) ?? record), ports: [] });
  }

  #update(record: SandboxRecord): SandboxRecord {
    const frozen = Object.freeze(record);
    this.#parts.store.write(frozen);
    this.#sandboxes.set(frozen.id, frozen);
    return frozen;
  }

  #note(record: SandboxRecord, holder: Holder): void {
    this.#sandboxOf.set(holder.containerId, record.id);
    if (record.address !== 0) this.#parts.names.set(holder.containerId, record.address, holder);
  }

  #describe(containerId: string): string {
    return this.#parts.names.namesOf(containerId)[0] ?? shorten(containerId);
  }
}

/** Ports of the host and the container address they lead to. */
export function forwardsOf(record: SandboxRecord): Forward[] {
  return record.ports.map((port) => ({ port, target: record.address }));
}

function isPooled(kind: SandboxKind): boolean {
  return kind.network === pooledKind.network && kind.ownUserNamespace === pooledKind.ownUserNamespace;
}

function holderOf(request: AttachRequest): Holder {
  return Object.freeze({
    containerId: request.containerId,
    names: request.names,
    ...(request.scope === '' ? {} : { scope: request.scope, aliases: request.aliases }),
    dnsServers: request.dnsServers,
  });
}

async function writeSysctls(kernel: Kernel, path: string, sysctls: readonly Sysctl[]): Promise<void> {
  try {
    await kernel.writeSysctls(path, sysctls);
  } catch (error) {
    if (!isKernelError(error) || !error.path.startsWith('/proc/sys/')) throw error;
    const name = error.path.slice('/proc/sys/'.length).replaceAll('/', '.');
    const why =
      error.code === 'ENOENT'
        ? 'a network namespace has no such setting'
        : error.code === 'EACCES' || error.code === 'EPERM'
          ? 'it belongs to the whole host'
          : error.message;
    throw new GantryError({
      code: 'invalid_argument',
      operation: 'AttachSandbox',
      object: name,
      message: `sysctl ${name} cannot be set: ${why}`,
      cause: error,
    });
  }
}

function shorten(containerId: string): string {
  return containerId.slice(0, 12);
}

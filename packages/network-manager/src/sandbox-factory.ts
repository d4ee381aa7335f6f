import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GantryError } from '@gantry/protocol';
import { idsPerRange, type NetworkSettings } from './config.js';
import { formatSubnet, hardwareAddressOf } from './ipv4.js';
import { isKernelError, type Kernel, type SandboxHandles, type Sysctl } from './kernel.js';
import type { RecordStore, SandboxRecord } from './records.js';
import { Slots } from './slots.js';

/** As many as one netlink answer buffer surely holds. */
const maxBatch = 64;
const retryMs = 1_000;
const gatherMs = 25;
const noHandles: SandboxHandles = Object.freeze({ userDevice: 0, userInode: 0, netDevice: 0, netInode: 0 });

/** What a sandbox is made of. */
export interface SandboxKind {
  readonly network: SandboxRecord['network'];
  readonly ownUserNamespace: boolean;
}

export interface FactoryOptions {
  readonly kernel: Kernel;
  readonly settings: NetworkSettings;
  readonly store: RecordStore;
  readonly bootId: string;
  /** Index of the bridge, as it is now. */
  readonly bridgeIndex: () => number;
  readonly warn: (fields: Record<string, unknown>, message: string) => void;
}

/** Makes sandboxes and takes them apart; owns addresses, uid ranges and names of interfaces. */
export class SandboxFactory {
  readonly #options: FactoryOptions;
  readonly #addresses: Slots;
  readonly #ranges: Slots;
  readonly #doomed: SandboxRecord[] = [];
  readonly #stopping = new AbortController();
  #reaping: Promise<void> = Promise.resolve();
  #reaperRuns = false;
  /** Prefix of the names of our links: of this bridge and run directory alone. */
  readonly linkPrefix: string;
  /** Number of the link group in which links wait for their end. */
  readonly #linkGroup: number;

  constructor(options: FactoryOptions) {
    this.#options = options;
    const { runDirectory, bridge, subnet, idRanges } = options.settings;
    const mark = createHash('sha256').update(`${runDirectory}\n${bridge}`).digest();
    this.linkPrefix = `gv${mark.toString('hex').slice(0, 5)}`;
    this.#linkGroup = 0x40000000 + mark.readUIntBE(0, 3);
    this.#addresses = new Slots(subnet.size);
    this.#ranges = new Slots(idRanges);
    // The network's own address, the gateway's and the broadcast address belong to nobody.
    this.#addresses.claim(0);
    this.#addresses.claim(1);
    this.#addresses.claim(subnet.size - 1);
  }

  get linkGroup(): number {
    return this.#linkGroup;
  }

  /** Sandboxes that are being taken apart. */
  get doomed(): number {
    return this.#doomed.length;
  }

  get addresses(): Pick<Slots, 'size' | 'taken'> {
    return this.#addresses;
  }

  get idRanges(): Pick<Slots, 'size' | 'taken'> {
    return this.#ranges;
  }

  directoryOf(id: string): string {
    return join(this.#options.settings.runDirectory, 'sandboxes', id);
  }

  /** A whole sandbox that nobody holds. */
  async make(kind: SandboxKind): Promise<SandboxRecord> {
    const { kernel, settings, store, bootId } = this.#options;
    const onBridge = kind.network === 'bridge';
    const id = randomBytes(4).toString('hex');
    const idRange = kind.ownUserNamespace ? this.#takeRange() : -1;
    let address = 0;
    try {
      if (onBridge) address = this.#takeAddress();
    } catch (error) {
      if (idRange >= 0) this.#ranges.give(idRange);
      throw error;
    }
    const record: SandboxRecord = Object.freeze({
      version: 1,
      id,
      bootId,
      state: 'making',
      ...kind,
      idRange,
      address,
      hostInterface: onBridge ? `${this.linkPrefix}${id}` : '',
      handles: noHandles,
      owner: '',
      holders: [],
      ports: [],
    });
    try {
      store.write(record);
      let handles = noHandles;
      if (kind.ownUserNamespace || kind.network !== 'host') {
        const directory = this.directoryOf(id);
        mkdirSync(directory, { mode: 0o700 });
        handles = await kernel.makeSandbox({
          directory,
          ownUserNamespace: kind.ownUserNamespace,
          ownNetNamespace: kind.network !== 'host',
          idBase: this.idBaseOf(record),
          idCount: this.idCountOf(record),
          sysctls: kind.network === 'host' ? [] : this.#sysctlsFor(record),
          interface: onBridge
            ? {
                hostName: record.hostInterface,
                bridgeIndex: this.#options.bridgeIndex(),
                mac: hardwareAddressOf(address),
                address,
                prefixLength: settings.subnet.prefixLength,
                gateway: settings.subnet.gateway,
              }
            : null,
        });
      }
      const ready: SandboxRecord = Object.freeze({ ...record, state: 'ready', handles });
      store.write(ready);
      return ready;
    } catch (error) {
      this.destroy(record);
      throw explain(error);
    }
  }

  /** Takes over a sandbox found at start-up. */
  adopt(record: SandboxRecord): void {
    if (record.idRange >= 0) this.#ranges.claim(record.idRange);
    if (record.address !== 0) this.#addresses.claim(record.address - this.#options.settings.subnet.network);
  }

  /**
   * Takes a sandbox apart, in the background and many at once: the kernel makes the caller wait for milliseconds. Its
   * address and uid range come back when nothing is left.
   */
  destroy(record: SandboxRecord): void {
    const dying: SandboxRecord = Object.freeze({ ...record, state: 'dying', holders: [], ports: [] });
    this.#options.store.write(dying);
    this.#doomed.push(dying);
    if (this.#reaperRuns) return;
    this.#reaperRuns = true;
    this.#reaping = this.#reap().finally(() => {
      this.#reaperRuns = false;
    });
  }

  /** Resolves when everything given to `destroy` is gone. */
  async settled(): Promise<void> {
    while (this.#reaperRuns) await this.#reaping;
  }

  /** Ends retrying; what is left is destroyed at the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.settled();
  }

  /** Device and inode of what is pinned for the sandbox. */
  pinnedIn(id: string): SandboxHandles {
    const user = identify(join(this.directoryOf(id), 'user'));
    const net = identify(join(this.directoryOf(id), 'net'));
    return { userDevice: user.device, userInode: user.inode, netDevice: net.device, netInode: net.inode };
  }

  idBaseOf(record: SandboxRecord): number {
    return record.idRange < 0 ? 0 : this.#options.settings.idBase + record.idRange * idsPerRange;
  }

  idCountOf(record: SandboxRecord): number {
    return record.idRange < 0 ? 0 : idsPerRange;
  }

  async #reap(): Promise<void> {
    // What is destroyed shortly after one another goes together: the kernel waits, with its lock on all links held, as
    // long for one as for many.
    await sleep(gatherMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    while (this.#doomed.length > 0 && !this.#stopping.signal.aborted) {
      const batch = this.#doomed.slice(0, maxBatch);
      if (await this.#takeApart(batch)) continue;
      // One that cannot go must not keep the others, nor those that wait behind the batch.
      for (const record of this.#doomed.filter((one) => batch.includes(one))) {
        if (this.#stopping.signal.aborted) return;
        if (!(await this.#takeApart([record]))) this.#doomed.push(...this.#doomed.splice(0, 1));
      }
      await sleep(retryMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    }
  }

  /** False when not all of them could be taken apart; those that could are forgotten. */
  async #takeApart(batch: readonly SandboxRecord[]): Promise<boolean> {
    try {
      await this.#options.kernel.destroySandboxes(
        batch.map((record) => ({
          directory: this.directoryOf(record.id),
          hostInterface: record.hostInterface,
        })),
        this.#linkGroup,
      );
      // One at a time, from the front: what was given back may be somebody else's when a later one is tried again.
      for (const record of batch) {
        this.#forget(record);
        this.#doomed.shift();
      }
      return true;
    } catch (error) {
      this.#options.warn(
        { err: error, sandboxes: batch.map((record) => record.id) },
        'sandboxes cannot be taken apart yet',
      );
      return false;
    }
  }

  #forget(record: SandboxRecord): void {
    try {
      rmdirSync(this.directoryOf(record.id));
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
    this.#options.store.remove(record.id);
    if (record.idRange >= 0) this.#ranges.give(record.idRange);
    if (record.address !== 0) this.#addresses.give(record.address - this.#options.settings.subnet.network);
  }

  #takeAddress(): number {
    const { subnet } = this.#options.settings;
    const slot = this.#addresses.take();
    if (slot === undefined)
      throw exhausted(formatSubnet(subnet), `no address is free in ${formatSubnet(subnet)}`);
    return subnet.network + slot;
  }

  #takeRange(): number {
    const slot = this.#ranges.take();
    if (slot === undefined)
      throw exhausted('id_ranges', `all ${this.#options.settings.idRanges} uid ranges are in use`);
    return slot;
  }

  #sysctlsFor(record: SandboxRecord): Sysctl[] {
    const first = this.idBaseOf(record);
    const last = record.idRange < 0 ? 2147483647 : first + idsPerRange - 1;
    return [
      // Any program inside may listen on any port: the ports are the container's own.
      { path: 'net/ipv4/ip_unprivileged_port_start', value: '0' },
      // ping without a raw socket, for every group of the container (ids as the host counts them, icmp(7)).
      { path: 'net/ipv4/ping_group_range', value: `${first} ${last}` },
      // IPv4 only for now. Loopback exists already and keeps ::1.
      { path: 'net/ipv6/conf/default/disable_ipv6', value: '1' },
    ];
  }
}

function identify(path: string): { device: number; inode: number } {
  try {
    const { dev, ino } = statSync(path);
    return { device: dev, inode: ino };
  } catch {
    return { device: 0, inode: 0 };
  }
}

function exhausted(object: string, message: string): GantryError {
  return new GantryError({ code: 'resource_exhausted', operation: 'AttachSandbox', object, message });
}

function explain(error: unknown): unknown {
  if (!isKernelError(error)) return error;
  return new GantryError({
    code: error.code === 'ENOSPC' ? 'resource_exhausted' : 'internal',
    operation: 'AttachSandbox',
    message: `cannot make a sandbox: ${error.message}`,
    cause: error,
  });
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}

import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SandboxHandles } from './kernel.js';
import type { Address } from './ipv4.js';
import type { PublishedPort } from './port-table.js';

/**
 * What a sandbox is on its way from nothing to nothing:
 *
 *   making ──> ready ──> attaching ──> held ──> dying ──> (no record)
 *      └─────────└───────────┴───────────────────^
 *
 * A record is written before the kernel is touched and removed after the kernel is clean, so that a process that died
 * in between left a record of all it may have made. `making`, `attaching` and `dying` never outlive the process that
 * wrote them: the next one destroys such sandboxes, for nobody was told of them.
 */
export type SandboxState = 'making' | 'ready' | 'attaching' | 'held' | 'dying';

export interface Holder {
  readonly containerId: string;
  readonly names: readonly string[];
  /** Name space of `aliases`; empty or absent for none. */
  readonly scope?: string;
  readonly aliases?: readonly string[];
  /** Resolvers for this container's queries; empty means the host's. */
  readonly dnsServers: readonly string[];
}

export interface SandboxRecord {
  readonly version: 1;
  /** 8 hex digits; part of the path and of the interface's name. */
  readonly id: string;
  readonly bootId: string;
  readonly state: SandboxState;
  readonly network: 'bridge' | 'none' | 'host';
  readonly ownUserNamespace: boolean;
  /** Index of the uid range, -1 without one. */
  readonly idRange: number;
  /** 0 without one. */
  readonly address: Address;
  /** Empty without one. */
  readonly hostInterface: string;
  /** All 0 until it is ready. */
  readonly handles: SandboxHandles;
  /** The container it was made for; empty in the pool. */
  readonly owner: string;
  readonly holders: readonly Holder[];
  readonly ports: readonly PublishedPort[];
}

/** The records of one node, one file each. On tmpfs: calls take microseconds, so they are synchronous. */
export class RecordStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Replaces the record in one step. Not synced: it need not outlive the boot. */
  write(record: SandboxRecord): void {
    const path = this.#path(record.id);
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  remove(id: string): void {
    rmSync(this.#path(id), { force: true });
  }

  /** Every readable record; names of files that are none are given to `unreadable`. */
  load(unreadable: (name: string) => void): SandboxRecord[] {
    const records: SandboxRecord[] = [];
    for (const name of readdirSync(this.#directory)) {
      const path = join(this.#directory, name);
      // Left by a death between writing and renaming: the old record, if any, still holds.
      if (name.endsWith('.new')) {
        rmSync(path, { force: true });
        continue;
      }
      const record = decode(readFileSync(path, 'utf8'));
      if (record === undefined || `${record.id}.json` !== name) unreadable(name);
      else records.push(record);
    }
    return records;
  }

  #path(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}

export const sandboxIdPattern = /^[0-9a-f]{8}$/;

function decode(text: string): SandboxRecord | undefined {
  try {
    const value = JSON.parse(text) as Partial<SandboxRecord> | null;
    if (value === null || typeof value !== 'object' || value.version !== 1) return undefined;
    if (typeof value.id !== 'string' || !sandboxIdPattern.test(value.id) || !Array.isArray(value.holders))
      return undefined;
    return Object.freeze(value as SandboxRecord);
  } catch {
    return undefined;
  }
}

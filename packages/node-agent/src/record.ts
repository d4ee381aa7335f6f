import type { Execution } from '@gantry/oci';
import type { network, node } from '@gantry/protocol';
import { NEW_LIFECYCLE, type Lifecycle, type Policy } from './lifecycle.js';

/** A mount as it will be made, with names and defaults filled in. */
export interface MountRecord {
  readonly type: 'bind' | 'volume' | 'tmpfs';
  /** Host path, or volume name; empty for tmpfs. */
  readonly source: string;
  /** Absolute and clean path inside. */
  readonly target: string;
  readonly readOnly: boolean;
  /** volume: made for this container alone. */
  readonly anonymous: boolean;
  readonly tmpfsSizeBytes: number;
  readonly tmpfsMode: number;
  readonly propagation: string;
}

/** The network as it was given at the latest start. */
export interface NetworkRecord {
  readonly ipAddress: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly macAddress: string;
  readonly sandboxId: string;
  readonly idBase: number;
  readonly ports: readonly network.PortBinding[];
}

/** All that is remembered of a container; the file `container.json` is exactly this. */
export interface ContainerRecord {
  /** Layout of this file. */
  readonly version: 1;
  readonly id: string;
  readonly name: string;
  readonly createdUnixMs: number;
  readonly idempotencyKey: string;
  /** What the user asked for. */
  readonly spec: node.ContainerSpec;
  /** As asked for, normalised. */
  readonly image: string;
  /** sha256:... */
  readonly imageId: string;
  /** Image and wishes together. */
  readonly execution: Execution;
  readonly hostname: string;
  readonly mounts: readonly MountRecord[];
  /** Container whose sandbox it shares; empty for its own. */
  readonly joinContainerId: string;
  readonly policy: Policy;
  readonly network: NetworkRecord;
  readonly life: Lifecycle;
}

export const NO_NETWORK: NetworkRecord = Object.freeze({
  ipAddress: '',
  prefixLength: 0,
  gateway: '',
  macAddress: '',
  sandboxId: '',
  idBase: 0,
  ports: [],
});

/** Names beside the container's own; records of releases that knew none have none. */
export function networkNames({ networkScope, networkAliases }: Partial<node.ContainerSpec>): {
  readonly scope: string;
  readonly aliases: readonly string[];
} {
  return { scope: networkScope ?? '', aliases: networkAliases ?? [] };
}

/** Reads a record file; undefined when it is torn (a power loss) or of another layout. */
export function parseRecord(text: string, id: string): ContainerRecord | undefined {
  try {
    const parsed = JSON.parse(text) as Partial<ContainerRecord> | null;
    if (parsed?.version !== 1 || parsed.id !== id || parsed.life === undefined || parsed.spec === undefined)
      return undefined;
    const life = { ...NEW_LIFECYCLE, ...parsed.life };
    return Object.freeze({ ...(parsed as ContainerRecord), life: Object.freeze(life) });
  } catch {
    return undefined;
  }
}

/** First twelve digits, as people see ids. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}

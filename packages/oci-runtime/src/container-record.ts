import type { RuntimeCgroup } from '@gantry/cgroup-supervisor/runtime';

/**
 * What is known of a container from one verb to the next: <root>/<id>/state.json.
 *
 *   creating ──> created ──> running        and no further: that its process has ended, /proc says
 *       └────────────────────────^  run
 */
export interface ContainerRecord {
  readonly version: 1;
  readonly id: string;
  readonly phase: 'creating' | 'created' | 'running';
  /** 0 while it is creating. */
  readonly pid: number;
  /** Decimal: tells the process from a later one with its pid. */
  readonly startTicks: string;
  readonly ociVersion: string;
  /** Absolute. */
  readonly bundle: string;
  /** Absolute. */
  readonly rootfs: string;
  /** ISO 8601. */
  readonly created: string;
  readonly ownerUid: number;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Clone flags of the namespaces that are not ours, decimal. */
  readonly namespaces: string;
  /** Only without a mount namespace: how many mounts there were at `rootfs` before it. */
  readonly mountsBefore?: number;
  /** Where its processes are; written before the first directory is made. */
  readonly cgroup?: RuntimeCgroup;
}

/** Undefined when the text is not what we write. */
export function readRecord(text: string): ContainerRecord | undefined {
  try {
    const record = JSON.parse(text) as Partial<ContainerRecord> | null;
    return record?.version === 1 && typeof record.id === 'string' ? (record as ContainerRecord) : undefined;
  } catch {
    return undefined;
  }
}

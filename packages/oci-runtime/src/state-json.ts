import type { ContainerRecord } from './container-record.js';
import type { ContainerStatus } from './container-status.js';

/** What `state` and `list` print: the runtime-spec's state, and what runc adds to it. */
export interface StateJson {
  readonly ociVersion: string;
  readonly id: string;
  /** 0 when stopped. */
  readonly pid: number;
  readonly status: ContainerStatus;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly owner: string;
}

export function stateJson(record: ContainerRecord, status: ContainerStatus, owner = ''): StateJson {
  return {
    ociVersion: record.ociVersion,
    id: record.id,
    pid: status === 'stopped' ? 0 : record.pid,
    status,
    bundle: record.bundle,
    rootfs: record.rootfs,
    created: record.created,
    ...(record.annotations === undefined ? {} : { annotations: record.annotations }),
    owner,
  };
}

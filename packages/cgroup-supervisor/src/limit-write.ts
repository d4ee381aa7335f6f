export type LimitedController = 'memory' | 'cpu' | 'cpuset' | 'pids';

/** One value for one file of a container's cgroup. */
export interface LimitWrite {
  readonly controller: LimitedController;
  readonly file: string;
  readonly value: string;
  /** The request's field, named when the kernel refuses. */
  readonly field: string;
  /** A fresh cgroup already has this value, so that the file may as well not exist. */
  readonly isDefault: boolean;
  /** The value is only our own default (swap as large as memory): let go when the file does not exist. */
  readonly isOptional?: boolean;
}

/** What v1's cpuset needs when no list is asked for: an empty one would take no process. */
export interface CpusetDefaults {
  readonly cpus: string;
  readonly mems: string;
}

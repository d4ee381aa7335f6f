import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Waits for v1's out-of-memory notifications. See native/oom_watch.h. */
export interface NativeOomWatch {
  /** Registers with the cgroup at this path of the memory hierarchy. */
  add(directory: string): number;
  remove(token: number): void;
  close(): void;
}

/** What files of cgroupfs cannot do. */
export interface NativeCgroup {
  readonly OomWatch: new (notify: (token: number) => void) => NativeOomWatch;
  /** A pidfd, owned by the caller; null when there is no such process. */
  openProcess(pid: number): number | null;
  /** Sends SIGKILL; false when the process has ended. */
  killProcess(descriptor: number): boolean;
  /**
   * Attaches the device rules to a v2 cgroup in place of what an earlier call attached. Five numbers a rule: 1 for
   * allow; type (0 all, 1 block, 2 character); major and minor, -1 for any; access (1 mknod, 2 read, 4 write).
   * See native/device_filter.h.
   */
  restrictDevices(directory: string, rules: Int32Array): void;
  /** Whether this kernel takes such programs from us. */
  canRestrictDevices(): boolean;
}

let loaded: NativeCgroup | undefined;

/** The addon, loaded at its first use. */
export function nativeCgroup(): NativeCgroup {
  const directory =
    process.env.GANTRY_NATIVE_DIR ?? fileURLToPath(new URL('../../../build/native/', import.meta.url));
  if (loaded !== undefined) return loaded;
  const addon = { exports: {} as NativeCgroup };
  process.dlopen(addon, join(directory, 'cgroup-supervisor.node'));
  return (loaded = addon.exports);
}

import { closeSync, constants, existsSync, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Handle } from './handle.js';
import type { StartFailure } from './start-failure.js';

const ESTALE = 116;

/** The cgroups of a shim, by how it comes into them. */
export interface ShimCgroups {
  /**
   * The v2 one: the shim is cloned straight into it. Joining it later would take the kernel's lock over all threads
   * (cgroup_threadgroup_rwsem): ten milliseconds for the first after a pause.
   */
  readonly born: Handle | undefined;
  /** v1 ones, which a single thread joins by itself without that lock. */
  readonly joined: readonly Handle[];
}

/** Only v1 directories hold a file `tasks`. */
export function sortShimCgroups(handles: readonly Handle[]): ShimCgroups {
  const isV1 = ({ path }: Handle): boolean => existsSync(join(path, 'tasks'));
  const v2 = handles.filter((handle) => !isV1(handle));
  // A second v2 directory cannot be: the hierarchy is one. If there were, the shim would say so.
  return { born: v2[0], joined: [...handles.filter(isV1), ...v2.slice(1)] };
}

/** Runs `use` with the directory's descriptor, or -1 without one; a directory that is another by now is a failure. */
export function withCgroup<T>(handle: Handle | undefined, use: (descriptor: number) => T): T | StartFailure {
  if (handle === undefined) return use(-1);
  let descriptor: number;
  try {
    descriptor = openSync(handle.path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    const { errno = -1 } = error as NodeJS.ErrnoException;
    return { stage: 'open shim cgroup', errno: -errno, path: handle.path };
  }
  try {
    const { dev, ino } = fstatSync(descriptor);
    if (dev !== handle.device || ino !== handle.inode)
      return { stage: 'open shim cgroup', errno: ESTALE, path: handle.path };
    return use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

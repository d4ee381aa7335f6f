import { homeOf, type Hierarchies, type Hierarchy } from './hierarchies.js';
import type { Limits } from './limits.js';
import { v1Writes } from './limit-writes-v1.js';
import { v2Writes } from './limit-writes-v2.js';

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

export type LimitedController = 'memory' | 'cpu' | 'cpuset' | 'pids';
const limitedControllers: readonly LimitedController[] = ['cpuset', 'cpu', 'memory', 'pids'];

/** A write with the hierarchy that it belongs to. */
export interface PlacedWrite extends LimitWrite {
  readonly hierarchy: Hierarchy;
}

export type PlanOrProblem = { readonly writes: readonly PlacedWrite[] } | { readonly problem: string };

/** What v1's cpuset needs when no list is asked for: an empty one would take no process. */
export interface CpusetDefaults {
  readonly cpus: string;
  readonly mems: string;
}

/** The file writes that put these limits in force on this machine. Pure; refuses by name what cannot be enforced. */
export function planWrites(limits: Limits, hierarchies: Hierarchies, cpuset: CpusetDefaults): PlanOrProblem {
  const writes: PlacedWrite[] = [];
  for (const controller of limitedControllers) {
    const hierarchy = homeOf(hierarchies, controller);
    const kind = hierarchy?.kind ?? 'v2';
    const own = kind === 'v1' ? v1Writes(limits, controller, cpuset) : v2Writes(limits, controller);
    if (typeof own === 'string') return { problem: own };
    const needed = own.find((write) => !write.isDefault && write.isOptional !== true);
    if (hierarchy !== undefined) writes.push(...own.map((write) => ({ ...write, hierarchy })));
    else if (needed !== undefined)
      return {
        problem: `${needed.field} cannot be enforced: this machine offers no cgroup controller "${controller}"`,
      };
  }
  return { writes };
}

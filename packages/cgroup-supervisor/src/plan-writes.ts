import { homeOf, type Hierarchies, type Hierarchy } from './hierarchies.js';
import type { Limits } from './limits.js';
import type { CpusetDefaults, LimitedController, LimitWrite } from './limit-write.js';
import { v1Writes } from './limit-writes-v1.js';
import { v2Writes } from './limit-writes-v2.js';

const limitedControllers: readonly LimitedController[] = ['cpuset', 'cpu', 'memory', 'pids'];

/** A write with the hierarchy that it belongs to. */
export interface PlacedWrite extends LimitWrite {
  readonly hierarchy: Hierarchy;
}

export type PlanOrProblem = { readonly writes: readonly PlacedWrite[] } | { readonly problem: string };

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

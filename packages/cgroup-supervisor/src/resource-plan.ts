import type { RuntimeResources } from '@gantry/oci';
import { homeOf, type Hierarchies, type Hierarchy } from './hierarchies.js';
import type { LimitWrite } from './limit-write.js';
import { v1Writes } from './resource-writes-v1.js';
import { v2Writes } from './resource-writes-v2.js';

/** A write with the hierarchy that it belongs to. */
export interface PlacedWrite extends LimitWrite {
  readonly hierarchy: Hierarchy;
}

export type PlanOrProblem = { readonly writes: readonly PlacedWrite[] } | { readonly problem: string };

/** In the order of writing; by v2's names where the two differ. */
const controllers = [
  'cpuset',
  'cpu',
  'memory',
  'pids',
  'io',
  'hugetlb',
  'net_cls',
  'net_prio',
  'rdma',
] as const;
const onlyOnV1: ReadonlySet<string> = new Set(['net_cls', 'net_prio']);

/**
 * The file writes that put `linux.resources` (devices apart) in force on this machine. Pure; refuses by name what
 * cannot be enforced.
 */
export function planResources(
  resources: RuntimeResources,
  hierarchies: Pick<Hierarchies, 'all' | 'unified'>,
): PlanOrProblem {
  const writes: PlacedWrite[] = [];
  const add = (
    hierarchy: Hierarchy | undefined,
    own: readonly LimitWrite[],
    lacking: string,
  ): string | undefined => {
    if (hierarchy !== undefined) writes.push(...own.map((write) => ({ ...write, hierarchy })));
    else {
      const needed = own.find((write) => !write.isDefault && write.isOptional !== true);
      if (needed !== undefined)
        return `${needed.field} cannot be enforced: this machine offers no ${lacking}`;
    }
    return undefined;
  };
  for (const controller of controllers) {
    const v1Name = controller === 'io' ? 'blkio' : controller;
    const home = homeOf(hierarchies, v1Name) ?? homeOf(hierarchies, controller);
    const kind = home?.kind ?? (onlyOnV1.has(controller) ? 'v1' : 'v2');
    const own = kind === 'v1' ? v1Writes(resources, v1Name) : v2Writes(resources, controller);
    const problem = typeof own === 'string' ? own : add(home, own, `cgroup controller "${controller}"`);
    if (problem !== undefined) return { problem };
  }
  const raw = v2Writes(resources, 'unified');
  const problem = typeof raw === 'string' ? raw : add(hierarchies.unified, raw, 'cgroup v2 hierarchy');
  return problem === undefined ? { writes } : { problem };
}

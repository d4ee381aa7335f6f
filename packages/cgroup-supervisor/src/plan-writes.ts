import type { RuntimeResources } from '@gantry/oci';
import { homeOf, type Hierarchies } from './hierarchies.js';
import type { Limits } from './limits.js';
import { planResources, type PlacedWrite, type PlanOrProblem } from './resource-plan.js';

/** What v1's cpuset needs when no list is asked for: an empty one would take no process. */
export interface CpusetDefaults {
  readonly cpus: string;
  readonly mems: string;
}

/** The request's field for each property of `linux.resources`. */
const requestFields: Readonly<Record<string, string>> = {
  'memory.limit': 'memory_limit_bytes',
  'memory.swap': 'memory_swap_limit_bytes',
  'memory.reservation': 'memory_reservation_bytes',
  'memory.disableOOMKiller': 'oom_kill_disable',
  'cpu.shares': 'cpu_shares',
  'cpu.quota': 'cpu_quota_us',
  'cpu.period': 'cpu_period_us',
  'cpu.cpus': 'cpuset_cpus',
  'cpu.mems': 'cpuset_mems',
  'pids.limit': 'pids_limit',
};

function requestField(field: string): string {
  return requestFields[field] ?? field;
}

/**
 * The file writes that put these limits in force on this machine: the whole set, what is unlimited too. Pure; refuses
 * by name what cannot be enforced.
 */
export function planWrites(limits: Limits, hierarchies: Hierarchies, cpuset: CpusetDefaults): PlanOrProblem {
  const plan = planResources(resourcesOf(limits, hierarchies, cpuset), hierarchies);
  if ('problem' in plan) return { problem: plan.problem.replace(/^[\w.]+/, requestField) };
  return { writes: plan.writes.map((write) => inRequestTerms(write, limits)) };
}

function resourcesOf(limits: Limits, hierarchies: Hierarchies, defaults: CpusetDefaults): RuntimeResources {
  const orUnlimited = (value: number | undefined): number =>
    value === undefined || value === Number.POSITIVE_INFINITY ? -1 : value;
  const inherits = homeOf(hierarchies, 'cpuset')?.kind === 'v1';
  const list = (asked: string, inherited: string): string => (asked === '' && inherits ? inherited : asked);
  return {
    memory: {
      limit: orUnlimited(limits.memoryLimitBytes),
      swap: orUnlimited(limits.memorySwapLimitBytes),
      reservation: orUnlimited(limits.memoryReservationBytes),
      disableOOMKiller: limits.oomKillDisable,
    },
    cpu: {
      quota: orUnlimited(limits.cpuQuotaUs),
      period: limits.cpuPeriodUs,
      shares: limits.cpuShares,
      cpus: list(limits.cpusetCpus, defaults.cpus),
      mems: list(limits.cpusetMems, defaults.mems),
    },
    pids: { limit: orUnlimited(limits.pidsLimit) },
  };
}

function inRequestTerms(write: PlacedWrite, limits: Limits): PlacedWrite {
  const isOptional = write.field === 'memory.swap' && !limits.memorySwapLimitAsked;
  return { ...write, field: requestField(write.field), isOptional: isOptional || write.isOptional === true };
}

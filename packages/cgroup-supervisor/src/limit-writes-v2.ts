import { sharesRange, weightFromShares } from './cpu-weight.js';
import type { Limits } from './limits.js';
import type { LimitWrite, LimitedController } from './limit-write.js';

const unlimited = 'max';

function orMax(value: number | undefined): string {
  return value === undefined || value === Number.POSITIVE_INFINITY ? unlimited : String(value);
}

/** v2 limits swap by itself, not together with memory. */
function swapOnly(limits: Limits): number | undefined {
  if (limits.memoryLimitBytes === undefined || limits.memorySwapLimitBytes === undefined) return undefined;
  return limits.memorySwapLimitBytes - limits.memoryLimitBytes;
}

function memoryWrites(limits: Limits): readonly LimitWrite[] | string {
  if (limits.oomKillDisable) return 'oom_kill_disable cannot be enforced: cgroup v2 has no such switch';
  const limit = orMax(limits.memoryLimitBytes);
  const swap = orMax(swapOnly(limits));
  const low = limits.memoryReservationBytes ?? 0;
  return [
    {
      controller: 'memory',
      file: 'memory.max',
      value: limit,
      field: 'memory_limit_bytes',
      isDefault: limit === unlimited,
    },
    {
      controller: 'memory',
      file: 'memory.swap.max',
      value: swap,
      field: 'memory_swap_limit_bytes',
      isDefault: swap === unlimited,
      isOptional: !limits.memorySwapLimitAsked,
    },
    {
      controller: 'memory',
      file: 'memory.low',
      value: String(low),
      field: 'memory_reservation_bytes',
      isDefault: low === 0,
    },
  ];
}

function cpuWrites(limits: Limits): readonly LimitWrite[] {
  return [
    {
      controller: 'cpu',
      file: 'cpu.max',
      value: `${orMax(limits.cpuQuotaUs)} ${limits.cpuPeriodUs}`,
      field: 'cpu_quota_us',
      isDefault: limits.cpuQuotaUs === undefined && limits.cpuPeriodUs === 100_000,
    },
    {
      controller: 'cpu',
      file: 'cpu.weight',
      value: String(weightFromShares(limits.cpuShares)),
      field: 'cpu_shares',
      isDefault: limits.cpuShares === sharesRange.default,
    },
  ];
}

/** The writes of one v2 controller, or why they cannot be. See the kernel's Documentation/admin-guide/cgroup-v2.rst. */
export function v2Writes(limits: Limits, controller: LimitedController): readonly LimitWrite[] | string {
  switch (controller) {
    case 'memory':
      return memoryWrites(limits);
    case 'cpu':
      return cpuWrites(limits);
    case 'cpuset':
      return [
        {
          controller,
          file: 'cpuset.cpus',
          value: limits.cpusetCpus,
          field: 'cpuset_cpus',
          isDefault: limits.cpusetCpus === '',
        },
        {
          controller,
          file: 'cpuset.mems',
          value: limits.cpusetMems,
          field: 'cpuset_mems',
          isDefault: limits.cpusetMems === '',
        },
      ];
    case 'pids': {
      const value = orMax(limits.pidsLimit);
      return [{ controller, file: 'pids.max', value, field: 'pids_limit', isDefault: value === unlimited }];
    }
  }
}

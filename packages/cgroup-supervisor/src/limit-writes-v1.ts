import { sharesRange } from './cpu-weight.js';
import type { Limits } from './limits.js';
import type { CpusetDefaults, LimitWrite, LimitedController } from './limit-write.js';

const unlimited = '-1';

function orUnlimited(value: number | undefined): string {
  return value === undefined || value === Number.POSITIVE_INFINITY ? unlimited : String(value);
}

function memoryWrites(limits: Limits): readonly LimitWrite[] {
  const limit = orUnlimited(limits.memoryLimitBytes);
  const swap = orUnlimited(limits.memorySwapLimitBytes);
  const soft = orUnlimited(limits.memoryReservationBytes);
  return [
    {
      controller: 'memory',
      file: 'memory.limit_in_bytes',
      value: limit,
      field: 'memory_limit_bytes',
      isDefault: limit === unlimited,
    },
    {
      controller: 'memory',
      file: 'memory.memsw.limit_in_bytes',
      value: swap,
      field: 'memory_swap_limit_bytes',
      isDefault: swap === unlimited,
      isOptional: !limits.memorySwapLimitAsked,
    },
    {
      controller: 'memory',
      file: 'memory.soft_limit_in_bytes',
      value: soft,
      field: 'memory_reservation_bytes',
      isDefault: soft === unlimited,
    },
    {
      controller: 'memory',
      file: 'memory.oom_control',
      value: limits.oomKillDisable ? '1' : '0',
      field: 'oom_kill_disable',
      isDefault: !limits.oomKillDisable,
    },
  ];
}

function cpuWrites(limits: Limits): readonly LimitWrite[] {
  const quota = orUnlimited(limits.cpuQuotaUs);
  return [
    {
      controller: 'cpu',
      file: 'cpu.cfs_period_us',
      value: String(limits.cpuPeriodUs),
      field: 'cpu_period_us',
      isDefault: limits.cpuPeriodUs === 100_000,
    },
    {
      controller: 'cpu',
      file: 'cpu.cfs_quota_us',
      value: quota,
      field: 'cpu_quota_us',
      isDefault: quota === unlimited,
    },
    {
      controller: 'cpu',
      file: 'cpu.shares',
      value: String(limits.cpuShares),
      field: 'cpu_shares',
      isDefault: limits.cpuShares === sharesRange.default,
    },
  ];
}

/** Never a default: a fresh v1 cpuset is empty and takes no process. */
function cpusetWrites(limits: Limits, defaults: CpusetDefaults): readonly LimitWrite[] {
  const own = (file: string, asked: string, inherited: string, field: string): LimitWrite => ({
    controller: 'cpuset',
    file,
    value: asked === '' ? inherited : asked,
    field,
    isDefault: false,
  });
  return [
    own('cpuset.cpus', limits.cpusetCpus, defaults.cpus, 'cpuset_cpus'),
    own('cpuset.mems', limits.cpusetMems, defaults.mems, 'cpuset_mems'),
  ];
}

/** The writes of one v1 controller. See the kernel's Documentation/admin-guide/cgroup-v1. */
export function v1Writes(
  limits: Limits,
  controller: LimitedController,
  cpuset: CpusetDefaults,
): readonly LimitWrite[] {
  switch (controller) {
    case 'memory':
      return memoryWrites(limits);
    case 'cpu':
      return cpuWrites(limits);
    case 'cpuset':
      return cpusetWrites(limits, cpuset);
    case 'pids':
      return [
        {
          controller: 'pids',
          file: 'pids.max',
          value: limits.pidsLimit === undefined ? 'max' : String(limits.pidsLimit),
          field: 'pids_limit',
          isDefault: limits.pidsLimit === undefined,
        },
      ];
  }
}

/**
 * The order in which memory's two limits may change: the kernel refuses any moment in which memory plus swap is
 * below memory.
 *
 * @param currentSwapLimitBytes what memory.memsw.limit_in_bytes says now
 */
export function orderMemoryWrites<W extends LimitWrite>(
  writes: readonly W[],
  currentSwapLimitBytes: number,
): readonly W[] {
  const limit = writes.find((write) => write.file === 'memory.limit_in_bytes');
  const swap = writes.find((write) => write.file === 'memory.memsw.limit_in_bytes');
  if (limit === undefined || swap === undefined) return writes;
  const target = limit.value === unlimited ? Number.POSITIVE_INFINITY : Number(limit.value);
  if (target <= currentSwapLimitBytes) return writes;
  const others = writes.filter((write) => write !== limit && write !== swap);
  return [swap, limit, ...others];
}

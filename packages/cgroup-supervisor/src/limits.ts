import type { cgroup } from '@gantry/protocol';
import { parseCpuList } from './cpu-list.js';
import { sharesRange } from './cpu-weight.js';

/** Checked limits. Undefined means unlimited or the kernel's default. */
export interface Limits {
  readonly memoryLimitBytes: number | undefined;
  /** Memory and swap together; Infinity for unlimited swap under a memory limit; undefined when memory is unlimited too. */
  readonly memorySwapLimitBytes: number | undefined;
  /** True when the caller named the swap limit: then it must be enforced. */
  readonly memorySwapLimitAsked: boolean;
  readonly memoryReservationBytes: number | undefined;
  readonly cpuQuotaUs: number | undefined;
  readonly cpuPeriodUs: number;
  readonly cpuShares: number;
  /** List text; empty for all. */
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
  readonly pidsLimit: number | undefined;
  readonly oomKillDisable: boolean;
}

/** What this machine has to divide. */
export interface Machine {
  readonly cpus: readonly number[];
  readonly memoryNodes: readonly number[];
}

export type LimitsOrProblem = { readonly limits: Limits } | { readonly problem: string };

const mebibyte = 1024 * 1024;
/** Below this a container cannot even start; docker's figure. */
export const smallestMemoryLimitBytes = 6 * mebibyte;
const periodRange = { min: 1000, max: 1_000_000, default: 100_000 } as const;
/** The kernel's lower bound, min_cfs_quota_period. */
const smallestQuotaUs = 1000;

type Problem = string | undefined;

/** Checks limits before anything is made. The first problem found is one sentence naming the value. */
export function readLimits(asked: Partial<cgroup.Resources>, machine: Machine): LimitsOrProblem {
  const problem =
    memoryProblem(asked) ??
    cpuProblem(asked) ??
    listProblem('cpuset_cpus', asked.cpusetCpus ?? '', machine.cpus, 'CPUs') ??
    listProblem('cpuset_mems', asked.cpusetMems ?? '', machine.memoryNodes, 'memory nodes') ??
    pidsProblem(asked.pidsLimit);
  if (problem !== undefined) return { problem };
  const memoryLimitBytes = zeroAsAbsent(asked.memoryLimitBytes);
  const swap = zeroAsAbsent(asked.memorySwapLimitBytes);
  const quota = zeroAsAbsent(asked.cpuQuotaUs);
  const pids = zeroAsAbsent(asked.pidsLimit);
  return {
    limits: Object.freeze({
      memoryLimitBytes,
      memorySwapLimitBytes: swapLimit(memoryLimitBytes, swap),
      memorySwapLimitAsked: swap !== undefined && swap !== -1,
      memoryReservationBytes: zeroAsAbsent(asked.memoryReservationBytes),
      cpuQuotaUs: quota === -1 ? undefined : quota,
      cpuPeriodUs: zeroAsAbsent(asked.cpuPeriodUs) ?? periodRange.default,
      cpuShares: zeroAsAbsent(asked.cpuShares) ?? sharesRange.default,
      cpusetCpus: (asked.cpusetCpus ?? '').trim(),
      cpusetMems: (asked.cpusetMems ?? '').trim(),
      pidsLimit: pids === -1 ? undefined : pids,
      oomKillDisable: asked.oomKillDisable ?? false,
    }),
  };
}

/** Zero is how docker's API says "not set". */
function zeroAsAbsent(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value;
}

/** As docker: swap as large as memory unless told otherwise. */
function swapLimit(memory: number | undefined, swap: number | undefined): number | undefined {
  if (memory === undefined) return undefined;
  if (swap === -1) return Number.POSITIVE_INFINITY;
  return swap ?? memory * 2;
}

function isWhole(value: number): boolean {
  return Number.isSafeInteger(value);
}

function memoryProblem(asked: Partial<cgroup.Resources>): Problem {
  const limit = zeroAsAbsent(asked.memoryLimitBytes);
  const swap = zeroAsAbsent(asked.memorySwapLimitBytes);
  const reservation = zeroAsAbsent(asked.memoryReservationBytes);
  if (limit !== undefined && (!isWhole(limit) || limit < smallestMemoryLimitBytes))
    return `memory_limit_bytes ${limit} is not allowed: the least is ${smallestMemoryLimitBytes} (6 MiB)`;
  if (swap !== undefined && (!isWhole(swap) || swap < -1))
    return `memory_swap_limit_bytes ${swap} is not allowed: it is memory plus swap in bytes, or -1 for unlimited swap`;
  if (swap !== undefined && swap !== -1 && limit === undefined)
    return `memory_swap_limit_bytes ${swap} needs memory_limit_bytes beside it`;
  if (swap !== undefined && swap !== -1 && limit !== undefined && swap < limit)
    return `memory_swap_limit_bytes ${swap} is below memory_limit_bytes ${limit}: it is memory plus swap`;
  if (reservation !== undefined && (!isWhole(reservation) || reservation < smallestMemoryLimitBytes))
    return `memory_reservation_bytes ${reservation} is not allowed: the least is ${smallestMemoryLimitBytes} (6 MiB)`;
  if (reservation !== undefined && limit !== undefined && reservation > limit)
    return `memory_reservation_bytes ${reservation} is above memory_limit_bytes ${limit}`;
  return undefined;
}

function cpuProblem(asked: Partial<cgroup.Resources>): Problem {
  const period = zeroAsAbsent(asked.cpuPeriodUs);
  const quota = zeroAsAbsent(asked.cpuQuotaUs);
  const shares = zeroAsAbsent(asked.cpuShares);
  if (period !== undefined && (!isWhole(period) || period < periodRange.min || period > periodRange.max))
    return `cpu_period_us ${period} is out of range: ${periodRange.min} to ${periodRange.max}`;
  if (quota !== undefined && quota !== -1 && (!isWhole(quota) || quota < smallestQuotaUs))
    return `cpu_quota_us ${quota} is not allowed: the least is ${smallestQuotaUs}, and -1 means unlimited`;
  if (shares !== undefined && (!isWhole(shares) || shares < sharesRange.min || shares > sharesRange.max))
    return `cpu_shares ${shares} is out of range: ${sharesRange.min} to ${sharesRange.max}`;
  return undefined;
}

function listProblem(field: string, text: string, available: readonly number[], what: string): Problem {
  const numbers = parseCpuList(text);
  if (numbers === undefined) return `${field} "${text}" is not a list such as "0-3,7"`;
  const absent = numbers.find((number) => !available.includes(number));
  if (absent === undefined) return undefined;
  return `${field} "${text}" asks for ${absent}, but the ${what} here are ${available.join(', ')}`;
}

function pidsProblem(limit: number | undefined): Problem {
  if (limit === undefined || (isWhole(limit) && limit >= -1)) return undefined;
  return `pids_limit ${limit} is not allowed: it is a number of tasks, or -1 for unlimited`;
}

import type { cgroup } from '@gantry/protocol';

/** New limits over old ones: what is left out stays as it is. */
export function mergeResources(
  old: cgroup.Resources | undefined,
  wish: cgroup.Resources | undefined,
): cgroup.Resources | undefined {
  if (wish === undefined) return old;
  return {
    memoryLimitBytes: wish.memoryLimitBytes ?? old?.memoryLimitBytes,
    memorySwapLimitBytes: wish.memorySwapLimitBytes ?? old?.memorySwapLimitBytes,
    memoryReservationBytes: wish.memoryReservationBytes ?? old?.memoryReservationBytes,
    cpuQuotaUs: wish.cpuQuotaUs ?? old?.cpuQuotaUs,
    cpuPeriodUs: wish.cpuPeriodUs ?? old?.cpuPeriodUs,
    cpuShares: wish.cpuShares ?? old?.cpuShares,
    cpusetCpus: wish.cpusetCpus || (old?.cpusetCpus ?? ''),
    cpusetMems: wish.cpusetMems || (old?.cpusetMems ?? ''),
    pidsLimit: wish.pidsLimit ?? old?.pidsLimit,
    oomKillDisable: wish.oomKillDisable || (old?.oomKillDisable ?? false),
  };
}

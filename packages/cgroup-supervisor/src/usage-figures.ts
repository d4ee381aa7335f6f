import { sharesFromWeight } from './cpu-weight.js';
import {
  parseBlkio,
  parseIoStat,
  parseLimit,
  parseNamedNumbers,
  parseNumber,
  type BlockDeviceFigures,
} from './kernel-text.js';

/** Gives the text of a file of one cgroup; empty when there is no such file. */
export type FileReader = (file: string) => string;

export interface CpuTime {
  readonly cpuUsageNs: number;
  readonly cpuUserNs: number;
  readonly cpuSystemNs: number;
}

export interface CpuBandwidth {
  readonly cpuPeriods: number;
  readonly cpuThrottledPeriods: number;
  readonly cpuThrottledNs: number;
  readonly cpuQuotaUs: number;
  readonly cpuPeriodUs: number;
  readonly cpuShares: number;
}

export interface MemoryFigures {
  readonly memoryUsageBytes: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryRssBytes: number;
  readonly memoryCacheBytes: number;
  readonly memorySwapBytes: number;
  readonly memoryPeakBytes: number;
  readonly memoryLimitBytes: number;
  readonly memoryFailcnt: number;
  readonly oomKillCount: number;
}

export interface PidsFigures {
  readonly pidsCurrent: number;
  readonly pidsLimit: number;
}

/** USER_HZ is 100 wherever Node.js runs. */
const nanosecondsPerTick = 1e7;

/** cpuacct.usage_user and _sys count whole ticks and do not sum up to cpuacct.usage; cpuacct.stat is scaled to do so. */
export function cpuTimeV1(read: FileReader): CpuTime {
  const stat = parseNamedNumbers(read('cpuacct.stat'));
  return {
    cpuUsageNs: parseNumber(read('cpuacct.usage')),
    cpuUserNs: (stat.get('user') ?? 0) * nanosecondsPerTick,
    cpuSystemNs: (stat.get('system') ?? 0) * nanosecondsPerTick,
  };
}

export function cpuTimeV2(read: FileReader): CpuTime {
  const stat = parseNamedNumbers(read('cpu.stat'));
  return {
    cpuUsageNs: (stat.get('usage_usec') ?? 0) * 1000,
    cpuUserNs: (stat.get('user_usec') ?? 0) * 1000,
    cpuSystemNs: (stat.get('system_usec') ?? 0) * 1000,
  };
}

export function cpuBandwidthV1(read: FileReader): CpuBandwidth {
  const stat = parseNamedNumbers(read('cpu.stat'));
  return {
    cpuPeriods: stat.get('nr_periods') ?? 0,
    cpuThrottledPeriods: stat.get('nr_throttled') ?? 0,
    cpuThrottledNs: stat.get('throttled_time') ?? 0,
    cpuQuotaUs: Math.max(0, parseNumber(read('cpu.cfs_quota_us'))),
    cpuPeriodUs: parseNumber(read('cpu.cfs_period_us')),
    cpuShares: parseNumber(read('cpu.shares')),
  };
}

export function cpuBandwidthV2(read: FileReader): CpuBandwidth {
  const stat = parseNamedNumbers(read('cpu.stat'));
  const [quota = 'max', period = '0'] = read('cpu.max').trim().split(' ');
  const weight = parseNumber(read('cpu.weight'));
  return {
    cpuPeriods: stat.get('nr_periods') ?? 0,
    cpuThrottledPeriods: stat.get('nr_throttled') ?? 0,
    cpuThrottledNs: (stat.get('throttled_usec') ?? 0) * 1000,
    cpuQuotaUs: parseLimit(quota),
    cpuPeriodUs: parseNumber(period),
    cpuShares: weight === 0 ? 0 : sharesFromWeight(weight),
  };
}

/** v1's "total_" figures count the cgroups below too, as usage and limit do. */
export function memoryV1(read: FileReader): MemoryFigures {
  const usage = parseNumber(read('memory.usage_in_bytes'));
  const stat = parseNamedNumbers(read('memory.stat'));
  return {
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: Math.max(0, usage - (stat.get('total_inactive_file') ?? 0)),
    memoryRssBytes: stat.get('total_rss') ?? 0,
    memoryCacheBytes: stat.get('total_cache') ?? 0,
    memorySwapBytes: stat.get('total_swap') ?? 0,
    memoryPeakBytes: parseNumber(read('memory.max_usage_in_bytes')),
    memoryLimitBytes: parseLimit(read('memory.limit_in_bytes')),
    memoryFailcnt: parseNumber(read('memory.failcnt')),
    oomKillCount: oomKillsV1(read),
  };
}

export function memoryV2(read: FileReader): MemoryFigures {
  const usage = parseNumber(read('memory.current'));
  const stat = parseNamedNumbers(read('memory.stat'));
  const events = parseNamedNumbers(read('memory.events'));
  return {
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: Math.max(0, usage - (stat.get('inactive_file') ?? 0)),
    memoryRssBytes: stat.get('anon') ?? 0,
    memoryCacheBytes: stat.get('file') ?? 0,
    memorySwapBytes: parseNumber(read('memory.swap.current')),
    memoryPeakBytes: parseNumber(read('memory.peak')),
    memoryLimitBytes: parseLimit(read('memory.max')),
    memoryFailcnt: events.get('max') ?? 0,
    oomKillCount: events.get('oom_kill') ?? 0,
  };
}

export function oomKillsV1(read: FileReader): number {
  return parseNamedNumbers(read('memory.oom_control')).get('oom_kill') ?? 0;
}

export function oomKillsV2(read: FileReader): number {
  return parseNamedNumbers(read('memory.events')).get('oom_kill') ?? 0;
}

/** The files have the same names and contents in v1 and v2. */
export function pidsFigures(read: FileReader): PidsFigures {
  return { pidsCurrent: parseNumber(read('pids.current')), pidsLimit: parseLimit(read('pids.max')) };
}

/** The throttling layer counts every device; the schedulers' own counters only those they schedule. */
export function blockDevicesV1(read: FileReader): readonly BlockDeviceFigures[] {
  return parseBlkio(
    read('blkio.throttle.io_service_bytes_recursive'),
    read('blkio.throttle.io_serviced_recursive'),
  );
}

export function blockDevicesV2(read: FileReader): readonly BlockDeviceFigures[] {
  return parseIoStat(read('io.stat'));
}

import { join } from 'node:path';
import type { cgroup } from '@gantry/protocol';
import { readKernelFileIfPresent } from './cgroup-files.js';
import { freezerOf } from './freezing.js';
import { placeFor, primaryOf, type Place } from './hierarchies.js';
import { isDirectory } from './directories.js';
import * as figures from './usage-figures.js';

const noTime: figures.CpuTime = { cpuUsageNs: 0, cpuUserNs: 0, cpuSystemNs: 0 };
const noBandwidth: figures.CpuBandwidth = {
  cpuPeriods: 0,
  cpuThrottledPeriods: 0,
  cpuThrottledNs: 0,
  cpuQuotaUs: 0,
  cpuPeriodUs: 0,
  cpuShares: 0,
};
const noMemory: figures.MemoryFigures = {
  memoryUsageBytes: 0,
  memoryWorkingSetBytes: 0,
  memoryRssBytes: 0,
  memoryCacheBytes: 0,
  memorySwapBytes: 0,
  memoryPeakBytes: 0,
  memoryLimitBytes: 0,
  memoryFailcnt: 0,
  oomKillCount: 0,
};
const noPids: figures.PidsFigures = { pidsCurrent: 0, pidsLimit: 0 };

/**
 * What a container uses now, read from wherever each figure is. Controllers that the machine lacks give zeros.
 *
 * @returns undefined when the container has no cgroup
 */
export function readUsage(places: readonly Place[], containerId: string): cgroup.Usage | undefined {
  const primary = primaryOf(places);
  if (primary === undefined || !isDirectory(primary.directory)) return undefined;
  const from = <T>(
    controller: string,
    v1: (read: figures.FileReader) => T,
    v2: (read: figures.FileReader) => T,
    none: T,
  ): T => {
    const home = placeFor(places, controller);
    if (home === undefined) return none;
    return (home.hierarchy.kind === 'v1' ? v1 : v2)(readerIn(home));
  };
  // v2 counts CPU time without any controller, in microseconds and split exactly: better than v1's ticks.
  const timeHome = primary.hierarchy.kind === 'v2' ? primary : placeFor(places, 'cpuacct');
  const time =
    timeHome === undefined
      ? noTime
      : (timeHome.hierarchy.kind === 'v1' ? figures.cpuTimeV1 : figures.cpuTimeV2)(readerIn(timeHome));
  return {
    containerId,
    timeUnixNanos: Date.now() * 1_000_000,
    ...time,
    ...from('cpu', figures.cpuBandwidthV1, figures.cpuBandwidthV2, noBandwidth),
    ...from('memory', figures.memoryV1, figures.memoryV2, noMemory),
    ...from('pids', figures.pidsFigures, figures.pidsFigures, noPids),
    blockDevices: [
      ...from('blkio', figures.blockDevicesV1, () => [], []),
      ...from('io', () => [], figures.blockDevicesV2, []),
    ],
    frozen: freezerOf(places)?.isFrozen() ?? false,
  };
}

/** How many processes of the container the kernel has killed for want of memory; undefined without a memory cgroup. */
export function readOomKills(places: readonly Place[]): number | undefined {
  const home = placeFor(places, 'memory');
  if (home === undefined) return undefined;
  const isV1 = home.hierarchy.kind === 'v1';
  const text = readKernelFileIfPresent(join(home.directory, isV1 ? 'memory.oom_control' : 'memory.events'));
  if (text === undefined) return undefined;
  return (isV1 ? figures.oomKillsV1 : figures.oomKillsV2)(() => text);
}

/** Reads files of one place; one that is not there is empty. */
export function readerIn({ directory }: Place): figures.FileReader {
  return (file) => readKernelFileIfPresent(join(directory, file)) ?? '';
}

import { join } from 'node:path';
import type { cgroup } from '@gantry/protocol';
import { readKernelFileIfPresent } from './cgroup-files.js';
import { freezerOf } from './freezing.js';
import { homeOf, type Hierarchy } from './hierarchies.js';
import { containerDirectory } from './layout.js';
import type { CgroupTree } from './tree.js';
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
export function readUsage(tree: CgroupTree, containerId: string): cgroup.Usage | undefined {
  if (!tree.exists(containerId)) return undefined;
  const { hierarchies, layout } = tree;
  const readerIn = (hierarchy: Hierarchy): figures.FileReader => {
    const directory = containerDirectory(layout, hierarchy, containerId);
    return (file) => readKernelFileIfPresent(join(directory, file)) ?? '';
  };
  const from = <T>(
    controller: string,
    v1: (read: figures.FileReader) => T,
    v2: (read: figures.FileReader) => T,
    none: T,
  ): T => {
    const home = homeOf(hierarchies, controller);
    if (home === undefined) return none;
    return (home.kind === 'v1' ? v1 : v2)(readerIn(home));
  };
  const { unified } = hierarchies;
  // v2 counts CPU time without any controller, in microseconds and split exactly: better than v1's ticks.
  const timeHome = unified ?? homeOf(hierarchies, 'cpuacct');
  const time =
    timeHome === undefined
      ? noTime
      : (timeHome.kind === 'v1' ? figures.cpuTimeV1 : figures.cpuTimeV2)(readerIn(timeHome));
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
    frozen: freezerOf(tree, containerId)?.isFrozen() ?? false,
  };
}

/** How many processes of the container the kernel has killed for want of memory; undefined without a memory cgroup. */
export function readOomKills(tree: CgroupTree, containerId: string): number | undefined {
  const home = homeOf(tree.hierarchies, 'memory');
  if (home === undefined) return undefined;
  const directory = containerDirectory(tree.layout, home, containerId);
  const text = readKernelFileIfPresent(
    join(directory, home.kind === 'v1' ? 'memory.oom_control' : 'memory.events'),
  );
  if (text === undefined) return undefined;
  return (home.kind === 'v1' ? figures.oomKillsV1 : figures.oomKillsV2)(() => text);
}

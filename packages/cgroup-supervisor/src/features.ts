import { join } from 'node:path';
import { statSync } from 'node:fs';
import { homeOf, type Hierarchies } from './hierarchies.js';
import { nativeCgroup } from './native.js';
import { containersDirectory, shimsDirectory, type Layout } from './layout.js';

interface Need {
  readonly controllers: readonly string[];
  readonly sentence: string;
}

const needs: readonly Need[] = [
  {
    controllers: ['memory'],
    sentence: 'no memory controller: memory cannot be limited or counted, OOM kills are not seen',
  },
  { controllers: ['cpu'], sentence: 'no cpu controller: CPU quota and shares cannot be set' },
  { controllers: ['cpuset'], sentence: 'no cpuset controller: containers cannot be bound to CPUs' },
  { controllers: ['pids'], sentence: 'no pids controller: the number of tasks cannot be limited' },
  {
    controllers: ['io', 'blkio'],
    sentence: 'no io controller: reads and writes of block devices are not counted',
  },
];

/** What this machine lacks, one sentence each. Asks the files, not the kernel's version. */
export function missingFeatures(hierarchies: Hierarchies, layout: Layout): readonly string[] {
  const missing = needs
    .filter(({ controllers }) => controllers.every((name) => homeOf(hierarchies, name) === undefined))
    .map(({ sentence }) => sentence);
  const lacks = (controller: string, v1File: string, v2File: string): boolean => {
    const home = homeOf(hierarchies, controller);
    if (home === undefined) return false;
    const parent = home.kind === 'v1' ? containersDirectory(layout, home) : shimsParent(layout, hierarchies);
    return parent !== undefined && !isThere(join(parent, home.kind === 'v1' ? v1File : v2File));
  };
  if (lacks('memory', 'memory.memsw.limit_in_bytes', 'memory.swap.max'))
    missing.push('swap cannot be limited');
  if (lacks('cpu', 'cpu.cfs_quota_us', 'cpu.max'))
    missing.push('the kernel has no CFS bandwidth control: CPU quota cannot be set');
  if (homeOf(hierarchies, 'memory')?.kind === 'v2') missing.push('cgroup v2 has no oom_kill_disable');
  if (homeOf(hierarchies, 'devices') === undefined && !hasDeviceFilter(hierarchies))
    missing.push(
      'no v1 devices hierarchy and no BPF programs for devices: the device access list is not enforced; a container in a user namespace cannot make ' +
        'device nodes and reaches only those bound into its /dev, a privileged one reaches all',
    );
  const { unified } = hierarchies;
  if (unified === undefined && homeOf(hierarchies, 'freezer') === undefined)
    missing.push('no freezer: containers cannot be paused');
  if (unified !== undefined && !isThere(join(shimsDirectory(layout, unified), 'cgroup.kill')))
    missing.push('no cgroup.kill: processes are killed one by one');
  return missing;
}

/** On v2 a controller's files are in the children of the cgroup that enables it. */
function shimsParent(layout: Layout, { unified }: Hierarchies): string | undefined {
  return unified === undefined ? undefined : containersDirectory(layout, unified);
}

/** v2 restricts devices by programs, which a kernel can be built without. */
function hasDeviceFilter({ unified }: Hierarchies): boolean {
  return unified !== undefined && nativeCgroup().canRestrictDevices();
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

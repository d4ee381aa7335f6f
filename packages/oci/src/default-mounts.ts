import type { RuntimeMount } from './runtime-spec.js';

/** Hidden from containers: they tell about, or change, the whole machine. */
export const MASKED_PATHS: readonly string[] = Object.freeze([
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
]);

/** Shown but not to be written. */
export const READONLY_PATHS: readonly string[] = Object.freeze([
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
]);

export const DEFAULT_SHM_BYTES = 64 * 1024 * 1024;

export interface MountFacts {
  readonly privileged: boolean;
  readonly shmSizeBytes: number;
  /**
   * The network namespace does not belong to the container's user namespace: sysfs cannot be mounted afresh then
   * (it shows the network namespace, so the kernel asks for rights over it), and the host's is bound read-only.
   */
  readonly foreignNetwork: boolean;
}

const KERNEL_OPTIONS: readonly string[] = ['nosuid', 'noexec', 'nodev'];

function sysMount(facts: MountFacts): RuntimeMount {
  if (facts.foreignNetwork) {
    return {
      destination: '/sys',
      type: 'bind',
      source: '/sys',
      options: ['rbind', 'rprivate', ...KERNEL_OPTIONS, 'ro'],
    };
  }
  return {
    destination: '/sys',
    type: 'sysfs',
    source: 'sysfs',
    options: [...KERNEL_OPTIONS, facts.privileged ? 'rw' : 'ro'],
  };
}

/** What every container has mounted before the user's own mounts. */
export function defaultMounts(facts: MountFacts): readonly RuntimeMount[] {
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: KERNEL_OPTIONS },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    sysMount(facts),
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [...KERNEL_OPTIONS, 'relatime', facts.privileged ? 'rw' : 'ro'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: KERNEL_OPTIONS },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...KERNEL_OPTIONS, 'mode=1777', `size=${facts.shmSizeBytes}`],
    },
  ];
}

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}

/**
 * The user's mounts over the default ones: one at the same place replaces it; parents come before what lies in them.
 * Mounts of equal depth keep their order.
 */
export function mergeMounts(
  defaults: readonly RuntimeMount[],
  own: readonly RuntimeMount[],
): readonly RuntimeMount[] {
  const taken = new Set(own.map(({ destination }) => destination));
  const kept = defaults.filter(({ destination }) => !taken.has(destination));
  const deepest = [...kept, ...own].map((mount, position) => ({
    mount,
    position,
    depth: depth(mount.destination),
  }));
  return deepest.sort((a, b) => a.depth - b.depth || a.position - b.position).map(({ mount }) => mount);
}

import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { cgroup } from '@gantry/protocol';
import { filesystemFamilies, machineFamilies, type MachineLine } from './machine-metrics.js';
import { interfaceFamilies, type InterfaceFigures } from './network-figures.js';

/** One container as the exposition needs it. */
export interface ContainerSample {
  /** cgroup path, as cAdvisor's label `id`: "/gantry/<id>". */
  readonly path: string;
  readonly name: string;
  readonly image: string;
  readonly createdAtMs: number | undefined;
  readonly processCount: number;
  readonly usage: cgroup.Usage;
  /** Empty for a container in the host's network. */
  readonly interfaces: readonly InterfaceFigures[];
}

interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'untyped';
  readonly help: string;
  /** Undefined leaves the container out. */
  readonly value: (sample: ContainerSample) => number | undefined;
  /** Further labels as text: `,cpu="total"`. */
  readonly more?: string;
}

const nanosecond = 1e-9;

/** Names and meanings are cAdvisor's, so that its dashboards and alerts fit. docs/metrics.md lists them. */
export const containerFamilies: readonly Family[] = [
  counter(
    'cpu_usage_seconds_total',
    'CPU time used.',
    ({ usage }) => usage.cpuUsageNs * nanosecond,
    ',cpu="total"',
  ),
  counter(
    'cpu_user_seconds_total',
    'CPU time used in user mode.',
    ({ usage }) => usage.cpuUserNs * nanosecond,
  ),
  counter(
    'cpu_system_seconds_total',
    'CPU time used in the kernel.',
    ({ usage }) => usage.cpuSystemNs * nanosecond,
  ),
  counter(
    'cpu_cfs_periods_total',
    'Periods in which the CPU quota was in force.',
    ({ usage }) => usage.cpuPeriods,
  ),
  counter(
    'cpu_cfs_throttled_periods_total',
    'Periods in which the CPU quota ran out.',
    ({ usage }) => usage.cpuThrottledPeriods,
  ),
  counter(
    'cpu_cfs_throttled_seconds_total',
    'Time spent waiting for CPU quota.',
    ({ usage }) => usage.cpuThrottledNs * nanosecond,
  ),
  gauge('memory_usage_bytes', 'Memory in use, page cache included.', ({ usage }) => usage.memoryUsageBytes),
  gauge(
    'memory_working_set_bytes',
    'Memory in use less inactive file pages, as kubelet computes it.',
    ({ usage }) => usage.memoryWorkingSetBytes,
  ),
  gauge('memory_rss', 'Anonymous memory in bytes.', ({ usage }) => usage.memoryRssBytes),
  gauge('memory_cache', 'Page cache in bytes.', ({ usage }) => usage.memoryCacheBytes),
  gauge('memory_swap', 'Swap in use in bytes.', ({ usage }) => usage.memorySwapBytes),
  gauge('memory_max_usage_bytes', 'Most memory ever in use.', ({ usage }) => usage.memoryPeakBytes),
  // A counter by nature; cAdvisor's name lacks the _total that a counter's must have.
  untyped('memory_failcnt', 'Times the memory limit was hit.', ({ usage }) => usage.memoryFailcnt),
  counter(
    'oom_events_total',
    'Processes killed by the kernel for want of memory.',
    ({ usage }) => usage.oomKillCount,
  ),
  gauge('processes', 'Processes.', ({ processCount }) => processCount),
  gauge('threads', 'Tasks: processes and their threads.', ({ usage }) => usage.pidsCurrent),
  gauge('threads_max', 'Limit of tasks; 0 when unlimited.', ({ usage }) => usage.pidsLimit),
  gauge('spec_memory_limit_bytes', 'Memory limit; 0 when unlimited.', ({ usage }) => usage.memoryLimitBytes),
  gauge(
    'spec_cpu_quota',
    'CPU quota in microseconds per period; absent when unlimited.',
    ({ usage }) => usage.cpuQuotaUs || undefined,
  ),
  gauge('spec_cpu_period', 'CPU period in microseconds.', ({ usage }) => usage.cpuPeriodUs),
  gauge('spec_cpu_shares', 'Relative share of CPU time.', ({ usage }) => usage.cpuShares),
  gauge('last_seen', 'When these figures were read, in seconds since 1970.', ({ usage }) =>
    Math.floor(usage.timeUnixNanos * nanosecond),
  ),
  gauge('start_time_seconds', 'When the cgroup was made, in seconds since 1970.', ({ createdAtMs }) =>
    createdAtMs === undefined ? undefined : createdAtMs / 1000,
  ),
];

interface DeviceFamily {
  readonly name: string;
  readonly help: string;
  readonly value: (device: cgroup.BlockDeviceUsage) => number;
}

export const deviceFamilies: readonly DeviceFamily[] = [
  {
    name: 'container_fs_reads_bytes_total',
    help: 'Bytes read from block devices.',
    value: (device) => device.readBytes,
  },
  {
    name: 'container_fs_writes_bytes_total',
    help: 'Bytes written to block devices.',
    value: (device) => device.writeBytes,
  },
  {
    name: 'container_fs_reads_total',
    help: 'Reads from block devices.',
    value: (device) => device.readOperations,
  },
  {
    name: 'container_fs_writes_total',
    help: 'Writes to block devices.',
    value: (device) => device.writeOperations,
  },
];

type Value = Family['value'];

function counter(name: string, help: string, value: Value, more?: string): Family {
  return { name: `container_${name}`, type: 'counter', help, value, ...(more === undefined ? {} : { more }) };
}

function gauge(name: string, help: string, value: Value): Family {
  return { name: `container_${name}`, type: 'gauge', help, value };
}

function untyped(name: string, help: string, value: Value): Family {
  return { name: `container_${name}`, type: 'untyped', help, value };
}

/** As the text format wants label values: backslash, quote and newline escaped. */
export function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}

/** Reading this many cgroups takes a few milliseconds; then others have a turn on the event loop. */
const containersPerTurn = 50;

/**
 * Reads samples and renders them in the text exposition format, letting others run in between. The machine's lines stand
 * among the containers' of the same name.
 */
export async function renderContainers(
  ids: readonly string[],
  read: (id: string) => ContainerSample | undefined,
  machine: readonly MachineLine[] = [],
): Promise<string> {
  const bodies = new Map<string, string>();
  const append = (name: string, text: string): void => void bodies.set(name, (bodies.get(name) ?? '') + text);
  for (const { name, labels, value } of machine) append(name, `${name}${renderLabels(labels)} ${value}\n`);
  for (const [index, id] of ids.entries()) {
    if (index > 0 && index % containersPerTurn === 0) await nextTurn();
    const sample = read(id);
    if (sample !== undefined) renderSample(sample, append);
  }
  let text = '';
  const families = [
    ...containerFamilies,
    ...[...deviceFamilies, ...interfaceFamilies].map((family) => ({ ...family, type: 'counter' })),
    ...[...filesystemFamilies, ...machineFamilies].map((family) => ({ ...family, type: 'gauge' })),
  ];
  for (const { name, help, type } of families) {
    const body = bodies.get(name);
    if (body !== undefined) text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${body}`;
  }
  return text;
}

function renderSample(sample: ContainerSample, append: (name: string, text: string) => void): void {
  const labels = `id="${escapeLabel(sample.path)}",name="${escapeLabel(sample.name)}",image="${escapeLabel(sample.image)}"`;
  for (const { name, value, more = '' } of containerFamilies) {
    const number = value(sample);
    if (number !== undefined) append(name, `${name}{${labels}${more}} ${number}\n`);
  }
  for (const device of sample.usage.blockDevices) {
    const label = escapeLabel(deviceName(device.major, device.minor));
    for (const { name, value } of deviceFamilies)
      append(name, `${name}{${labels},device="${label}"} ${value(device)}\n`);
  }
  for (const figures of sample.interfaces) {
    const label = escapeLabel(figures.name);
    for (const { name, value } of interfaceFamilies)
      append(name, `${name}{${labels},interface="${label}"} ${value(figures)}\n`);
  }
}

function renderLabels(labels: Readonly<Record<string, string>>): string {
  const words = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return words.length === 0 ? '' : `{${words.join(',')}}`;
}

const deviceNames = new Map<string, string>();

/** "/dev/sda" as cAdvisor names devices; the numbers where sysfs knows no name. */
function deviceName(major: number, minor: number): string {
  const numbers = `${major}:${minor}`;
  const known = deviceNames.get(numbers);
  if (known !== undefined) return known;
  let name = numbers;
  try {
    name = `/dev/${basename(readlinkSync(`/sys/dev/block/${numbers}`))}`;
  } catch {
    // A device that has gone keeps its numbers.
  }
  // Devices come and go, but machines do not have thousands.
  if (deviceNames.size > 1000) deviceNames.clear();
  deviceNames.set(numbers, name);
  return name;
}

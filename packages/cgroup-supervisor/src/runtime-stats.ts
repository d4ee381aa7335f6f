import { join } from 'node:path';
import { readdirSync } from 'node:fs';
import { parseCpuList } from './cpu-list.js';
import { placeFor, primaryOf, type Place } from './hierarchies.js';
import { parseNamedNumbers } from './kernel-text.js';
import { placesOf, type RuntimeCgroup } from './runtime-cgroup.js';
import { cpuBandwidthV1, cpuBandwidthV2, cpuTimeV1, cpuTimeV2, type FileReader } from './usage-figures.js';
import { readerIn } from './usage.js';

/** v2's "max" as a number of 64 bits, the way runc's JSON has it. */
const noLimit = 18_446_744_073_709_551_615n;

type Figure = number | bigint;

/**
 * What the container uses, as the `data` of runc's `events --stats`. What no number can hold is a bigint: write it with
 * `stringifyLossless`.
 */
export function cgroupStats(cgroup: RuntimeCgroup): Record<string, unknown> {
  const places = placesOf(cgroup);
  return {
    cpu: cpuStats(places),
    cpuset: cpusetStats(places),
    memory: memoryStats(places),
    pids: pidsStats(places),
    blkio: blkioStats(places),
    hugetlb: hugetlbStats(places),
    intel_rdt: {},
    network_interfaces: null,
  };
}

function figure(text: string): Figure {
  const trimmed = text.trim();
  if (trimmed === 'max') return noLimit;
  if (!/^\d+$/.test(trimmed)) return 0;
  const value = Number(trimmed);
  return Number.isSafeInteger(value) ? value : BigInt(trimmed);
}

function cpuStats(places: readonly Place[]): Record<string, unknown> {
  const primary = primaryOf(places);
  const home = placeFor(places, 'cpu');
  const timeHome = primary?.hierarchy.kind === 'v2' ? primary : placeFor(places, 'cpuacct');
  const usage: Record<string, unknown> = {};
  if (timeHome !== undefined) {
    const read = readerIn(timeHome);
    const { cpuUsageNs, cpuUserNs, cpuSystemNs } =
      timeHome.hierarchy.kind === 'v1' ? cpuTimeV1(read) : cpuTimeV2(read);
    Object.assign(usage, { total: cpuUsageNs, kernel: cpuSystemNs, user: cpuUserNs });
  }
  const account = placeFor(places, 'cpuacct');
  if (account !== undefined) Object.assign(usage, perCpu(readerIn(account)));
  const throttling: Record<string, number> = {};
  if (home !== undefined) {
    const { cpuPeriods, cpuThrottledPeriods, cpuThrottledNs } = (
      home.hierarchy.kind === 'v1' ? cpuBandwidthV1 : cpuBandwidthV2
    )(readerIn(home));
    Object.assign(throttling, {
      periods: cpuPeriods,
      throttledPeriods: cpuThrottledPeriods,
      throttledTime: cpuThrottledNs,
    });
  }
  return { usage, throttling, ...pressureOf(places, 'cpu') };
}

/** v1 alone tells what each processor did. */
function perCpu(read: FileReader): Record<string, readonly number[]> {
  const list = (file: string): readonly number[] =>
    read(file).trim().split(/\s+/).filter(Boolean).map(Number);
  return {
    percpu: list('cpuacct.usage_percpu'),
    percpu_kernel: list('cpuacct.usage_percpu_sys'),
    percpu_user: list('cpuacct.usage_percpu_user'),
  };
}

const cpusetFlags = {
  cpu_exclusive: 'cpu_exclusive',
  mem_hardwall: 'mem_hardwall',
  mem_exclusive: 'mem_exclusive',
  memory_migrate: 'memory_migrate',
  memory_spread_page: 'memory_spread_page',
  memory_spread_slab: 'memory_spread_slab',
  memory_pressure: 'memory_pressure',
  sched_load_balance: 'sched_load_balance',
  sched_relax_domain_level: 'sched_relax_domain_level',
} as const;

function cpusetStats(places: readonly Place[]): Record<string, unknown> {
  const home = placeFor(places, 'cpuset');
  const read: FileReader = home === undefined ? () => '' : readerIn(home);
  const effective = home?.hierarchy.kind === 'v2' ? '.effective' : '';
  const flags = Object.entries(cpusetFlags).map(([key, file]) => [key, Number(read(`cpuset.${file}`)) || 0]);
  return {
    cpus: parseCpuList(read(`cpuset.cpus${effective}`)) ?? [],
    mems: parseCpuList(read(`cpuset.mems${effective}`)) ?? [],
    ...(Object.fromEntries(flags) as Record<string, number>),
  };
}

interface MemoryEntry {
  readonly limit: Figure;
  readonly usage: Figure;
  readonly max: Figure;
  readonly failcnt: Figure;
}

function memoryStats(places: readonly Place[]): Record<string, unknown> {
  const home = placeFor(places, 'memory');
  if (home === undefined) {
    const none: MemoryEntry = { limit: 0, usage: 0, max: 0, failcnt: 0 };
    return { usage: none, swap: none, kernel: none, kernelTCP: none, raw: {} };
  }
  const read = readerIn(home);
  const raw = parseNamedNumbers(read('memory.stat'));
  const own = home.hierarchy.kind === 'v1' ? memoryV1(read, raw) : memoryV2(read, raw);
  return { ...own, raw: Object.fromEntries(raw), ...pressureOf(places, 'memory') };
}

function memoryV1(read: FileReader, raw: ReadonlyMap<string, number>): Record<string, unknown> {
  const entry = (name: string): MemoryEntry => ({
    limit: figure(read(`memory.${name}limit_in_bytes`)),
    usage: figure(read(`memory.${name}usage_in_bytes`)),
    max: figure(read(`memory.${name}max_usage_in_bytes`)),
    failcnt: figure(read(`memory.${name}failcnt`)),
  });
  return {
    cache: raw.get('cache') ?? 0,
    usage: entry(''),
    swap: entry('memsw.'),
    kernel: entry('kmem.'),
    kernelTCP: entry('kmem.tcp.'),
  };
}

/** runc gives swap as v1 does, memory and swap together. */
function memoryV2(read: FileReader, raw: ReadonlyMap<string, number>): Record<string, unknown> {
  const none: MemoryEntry = { limit: 0, usage: 0, max: 0, failcnt: 0 };
  const limit = figure(read('memory.max'));
  const usage = figure(read('memory.current'));
  const swapLimit = figure(read('memory.swap.max'));
  const isUnlimited = limit === noLimit || swapLimit === noLimit;
  return {
    cache: raw.get('file') ?? 0,
    usage: {
      limit,
      usage,
      max: figure(read('memory.peak')),
      failcnt: parseNamedNumbers(read('memory.events')).get('max') ?? 0,
    },
    swap: {
      limit: isUnlimited ? noLimit : Number(limit) + Number(swapLimit),
      usage: Number(usage) + Number(figure(read('memory.swap.current'))),
      max: figure(read('memory.swap.peak')),
      failcnt: parseNamedNumbers(read('memory.swap.events')).get('fail') ?? 0,
    },
    kernel: none,
    kernelTCP: none,
  };
}

function pidsStats(places: readonly Place[]): Record<string, unknown> {
  const home = placeFor(places, 'pids');
  if (home === undefined) return {};
  const read = readerIn(home);
  const limit = read('pids.max').trim();
  // Unlimited is 0 in this one.
  return { current: figure(read('pids.current')), limit: limit === 'max' ? 0 : figure(limit) };
}

interface BlkioEntry {
  readonly major: number;
  readonly minor: number;
  readonly op: string;
  readonly value: Figure;
}

function blkioStats(places: readonly Place[]): Record<string, readonly BlkioEntry[]> {
  const v1 = placeFor(places, 'blkio');
  if (v1 !== undefined) {
    const read = readerIn(v1);
    return {
      ioServiceBytesRecursive: blkioEntries(read('blkio.throttle.io_service_bytes_recursive')),
      ioServicedRecursive: blkioEntries(read('blkio.throttle.io_serviced_recursive')),
    };
  }
  const v2 = placeFor(places, 'io');
  if (v2 === undefined) return {};
  const text = readerIn(v2)('io.stat');
  const entries = (keys: Readonly<Record<string, string>>): readonly BlkioEntry[] =>
    text.split('\n').flatMap((line) => {
      const [, major, minor, rest = ''] = /^(\d+):(\d+) (.*)$/.exec(line) ?? [];
      if (major === undefined) return [];
      return Object.entries(keys).map(([key, op]) => ({
        major: Number(major),
        minor: Number(minor),
        op,
        value: figure(new RegExp(`\\b${key}=(\\d+)`).exec(rest)?.[1] ?? '0'),
      }));
    });
  return {
    ioServiceBytesRecursive: entries({ rbytes: 'Read', wbytes: 'Write', dbytes: 'Discard' }),
    ioServicedRecursive: entries({ rios: 'Read', wios: 'Write', dios: 'Discard' }),
  };
}

/** Lines "8:0 Read 4096"; the last one, "Total 4096", is of no device. */
function blkioEntries(text: string): readonly BlkioEntry[] {
  return text.split('\n').flatMap((line) => {
    const [, major, minor, op = '', value = ''] = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line) ?? [];
    return major === undefined
      ? []
      : [{ major: Number(major), minor: Number(minor), op, value: figure(value) }];
  });
}

function hugetlbStats(places: readonly Place[]): Record<string, unknown> {
  const home = placeFor(places, 'hugetlb');
  if (home === undefined) return {};
  const read = readerIn(home);
  const suffix = home.hierarchy.kind === 'v1' ? 'usage_in_bytes' : 'current';
  const sizes = readdirSync(home.directory).flatMap(
    (file) => new RegExp(`^hugetlb\\.(\\w+)\\.${suffix}$`).exec(file)?.[1] ?? [],
  );
  const entry = (size: string): Record<string, Figure> =>
    home.hierarchy.kind === 'v1'
      ? {
          usage: figure(read(`hugetlb.${size}.usage_in_bytes`)),
          max: figure(read(`hugetlb.${size}.max_usage_in_bytes`)),
          failcnt: figure(read(`hugetlb.${size}.failcnt`)),
        }
      : {
          usage: figure(read(`hugetlb.${size}.current`)),
          failcnt: parseNamedNumbers(read(join(`hugetlb.${size}.events`))).get('max') ?? 0,
        };
  return Object.fromEntries(sizes.map((size) => [size, entry(size)]));
}

/** Lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0": v2 alone has them. */
function pressureOf(places: readonly Place[], what: 'cpu' | 'memory'): Record<string, unknown> {
  const unified = places.find(({ hierarchy }) => hierarchy.kind === 'v2');
  const text = unified === undefined ? '' : readerIn(unified)(`${what}.pressure`);
  const lines = text.split('\n').flatMap((line) => {
    const [kind = '', ...pairs] = line.split(' ');
    if (pairs.length === 0) return [];
    return [[kind, Object.fromEntries(pairs.map((pair) => pair.split('=')).map(([k, v]) => [k, Number(v)]))]];
  });
  return lines.length === 0 ? {} : { psi: Object.fromEntries(lines) as Record<string, unknown> };
}

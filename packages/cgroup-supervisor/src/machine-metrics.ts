import { readFile, statfs } from 'node:fs/promises';
import { parseMountTable, type MountedFileSystem } from './mount-table.js';
import { interfaceFamilies, parseInterfaces, type InterfaceFigures } from './network-figures.js';

/** One line of the exposition that tells of the machine and not of a container. */
export interface MachineLine {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** cAdvisor's figures of the whole machine; `id="/"` is its name for the cgroup that holds everything. */
export const machineFamilies = [
  { name: 'machine_cpu_cores', help: 'Logical CPUs of the machine.' },
  { name: 'machine_memory_bytes', help: 'Memory of the machine.' },
  { name: 'machine_swap_bytes', help: 'Swap space of the machine.' },
] as const;

export const filesystemFamilies = [
  { name: 'container_fs_limit_bytes', help: 'Size of a file system of the machine.' },
  { name: 'container_fs_usage_bytes', help: 'Bytes in use on a file system of the machine.' },
] as const;

/** USER_HZ is 100 wherever Node.js runs. */
const ticksPerSecond = 100;
const everything = { id: '/', name: '', image: '' } as const;
const kibibyte = 1024;

/** Everything cAdvisor tells of the machine, read now. */
export async function machineLines(): Promise<readonly MachineLine[]> {
  const [stat, memory, network, mounts] = await Promise.all(
    ['/proc/stat', '/proc/meminfo', '/proc/self/net/dev', '/proc/self/mountinfo'].map((path) =>
      readFile(path, 'utf8'),
    ),
  );
  return [
    ...processorLines(stat ?? ''),
    ...memoryLines(memory ?? ''),
    ...networkLines(parseInterfaces(network ?? '')),
    ...(await Promise.all(fileSystems(parseMountTable(mounts ?? '')).map(fileSystemLines))).flat(),
    line('container_last_seen', Math.floor(Date.now() / 1000)),
  ];
}

function line(name: string, value: number, more: Readonly<Record<string, string>> = {}): MachineLine {
  return { name, labels: { ...everything, ...more }, value };
}

/** See proc_stat(5): user nice system idle iowait irq softirq steal, in ticks since the start of the machine. */
export function processorLines(stat: string): readonly MachineLine[] {
  const ticks = /^cpu +(.*)$/m.exec(stat)?.[1]?.split(' ').map(Number) ?? [];
  const seconds = (...columns: readonly number[]): number =>
    columns.reduce((sum, column) => sum + (ticks[column] ?? 0), 0) / ticksPerSecond;
  const started = Number(/^btime (\d+)$/m.exec(stat)?.[1] ?? 0);
  return [
    line('container_cpu_usage_seconds_total', seconds(0, 1, 2, 5, 6, 7), { cpu: 'total' }),
    line('container_cpu_user_seconds_total', seconds(0, 1)),
    line('container_cpu_system_seconds_total', seconds(2, 5, 6)),
    line('container_start_time_seconds', started),
    { name: 'machine_cpu_cores', labels: {}, value: stat.match(/^cpu\d+ /gm)?.length ?? 0 },
  ];
}

/** See proc_meminfo(5). In use is what is not free, page cache included; the working set leaves out what was not used lately. */
export function memoryLines(meminfo: string): readonly MachineLine[] {
  const figures = new Map(
    [...meminfo.matchAll(/^([\w()]+): +(\d+) kB$/gm)].map(([, name = '', kibibytes]) => [
      name,
      Number(kibibytes) * kibibyte,
    ]),
  );
  const bytes = (name: string): number => figures.get(name) ?? 0;
  const used = bytes('MemTotal') - bytes('MemFree');
  return [
    line('container_memory_usage_bytes', used),
    line('container_memory_working_set_bytes', Math.max(0, used - bytes('Inactive(file)'))),
    line('container_memory_rss', bytes('AnonPages')),
    line('container_memory_cache', bytes('Cached')),
    line('container_memory_swap', bytes('SwapTotal') - bytes('SwapFree')),
    { name: 'machine_memory_bytes', labels: {}, value: bytes('MemTotal') },
    { name: 'machine_swap_bytes', labels: {}, value: bytes('SwapTotal') },
  ];
}

/** Ends of cables to containers, cAdvisor's list and our own: their traffic is counted at the containers. */
const cables = /^(veth|docker|gv[0-9a-f]{5})/;

function networkLines(interfaces: readonly InterfaceFigures[]): readonly MachineLine[] {
  return interfaces
    .filter(({ name }) => !cables.test(name))
    .flatMap((figures) =>
      interfaceFamilies.map(({ name, value }) => line(name, value(figures), { interface: figures.name })),
    );
}

/** Block devices, each once however often it is mounted, and the root whatever it is. */
export function fileSystems(mounts: readonly MountedFileSystem[]): readonly MountedFileSystem[] {
  const found = new Map<string, MountedFileSystem>();
  for (const mount of mounts)
    if ((mount.source.startsWith('/dev/') || mount.mountPoint === '/') && !found.has(mount.source))
      found.set(mount.source, mount);
  return [...found.values()];
}

async function fileSystemLines({ source, mountPoint }: MountedFileSystem): Promise<readonly MachineLine[]> {
  // What was unmounted meanwhile, or may not be looked at, has no figures.
  const sizes = await statfs(mountPoint).catch(() => undefined);
  if (sizes === undefined) return [];
  const { bsize, blocks, bfree } = sizes;
  const more = { device: source };
  return [
    line('container_fs_limit_bytes', blocks * bsize, more),
    line('container_fs_usage_bytes', (blocks - bfree) * bsize, more),
  ];
}

import type { RuntimeBlockIo, RuntimeCpu, RuntimeMemory, RuntimeResources } from '@gantry/oci';
import { sharesRange, weightFromShares } from './cpu-weight.js';
import type { LimitWrite } from './limit-write.js';
import { asked, limitText, swapAlone } from './resource-numbers.js';
import { hugepageWrites, pidsWrites, rdmaWrites } from './resource-writes-v1.js';

const unlimited = 'max';

function memoryWrites(memory: RuntimeMemory): readonly LimitWrite[] | string {
  if (memory.disableOOMKiller === true)
    return 'memory.disableOOMKiller cannot be enforced: cgroup v2 has no such switch';
  if (memory.swappiness !== undefined)
    return 'memory.swappiness cannot be enforced: cgroup v2 has no such value';
  if (memory.useHierarchy === false)
    return 'memory.useHierarchy false cannot be enforced: cgroup v2 always counts hierarchically';
  const writes: LimitWrite[] = [];
  const add = (file: string, field: string, value: string, fresh: string, isOptional = false): void => {
    writes.push({ controller: 'memory', file, value, field, isDefault: value === fresh, isOptional });
  };
  const limit = asked(memory.limit);
  if (limit !== undefined) add('memory.max', 'memory.limit', limitText(limit, unlimited), unlimited);
  const swap = swapAlone(memory);
  if (typeof swap === 'string') return swap;
  if (swap !== undefined) add('memory.swap.max', 'memory.swap', limitText(swap, unlimited), unlimited);
  const reservation = asked(memory.reservation);
  if (reservation !== undefined)
    add('memory.low', 'memory.reservation', limitText(reservation < 0n ? 0n : reservation, unlimited), '0');
  return writes;
}

function cpuWrites(cpu: RuntimeCpu): readonly LimitWrite[] | string {
  if (asked(cpu.realtimeRuntime) !== undefined || asked(cpu.realtimePeriod) !== undefined)
    return 'cpu.realtimeRuntime cannot be enforced: cgroup v2 does not divide real time';
  const writes: LimitWrite[] = [];
  if (cpu.idle !== undefined)
    writes.push({
      controller: 'cpu',
      file: 'cpu.idle',
      value: String(cpu.idle),
      field: 'cpu.idle',
      isDefault: cpu.idle === 0,
    });
  const quota = asked(cpu.quota);
  const period = asked(cpu.period);
  const quotaText = quota === undefined ? undefined : limitText(quota, unlimited);
  if (quotaText !== undefined || period !== undefined)
    writes.push({
      controller: 'cpu',
      file: 'cpu.max',
      value: `${quotaText ?? unlimited} ${period ?? 100_000}`,
      field: quotaText === undefined ? 'cpu.period' : 'cpu.quota',
      isDefault: (quotaText ?? unlimited) === unlimited && (period ?? 100_000n) === 100_000n,
      complete: (current) => {
        const [oldQuota = unlimited, oldPeriod = '100000'] = current.trim().split(' ');
        return `${quotaText ?? oldQuota} ${period ?? oldPeriod}`;
      },
    });
  if (cpu.burst !== undefined)
    writes.push({
      controller: 'cpu',
      file: 'cpu.max.burst',
      value: String(cpu.burst),
      field: 'cpu.burst',
      isDefault: asked(cpu.burst) === undefined,
    });
  const shares = asked(cpu.shares);
  // An idle group has no weight.
  if (shares !== undefined && cpu.idle !== 1)
    writes.push({
      controller: 'cpu',
      file: 'cpu.weight',
      value: String(weightFromShares(Number(shares))),
      field: 'cpu.shares',
      isDefault: Number(shares) === sharesRange.default,
    });
  return writes;
}

/** v1's 10 to 1,000 laid onto v2's 1 to 10,000, as OCI runtimes agreed. */
export function ioWeightFromBlkio(weight: number): number {
  return 1 + Math.trunc(((weight - 10) * 9999) / 990);
}

/** bfq takes v1's weights as they are; the kernel's own io.weight has another range. */
function weightWrite(weight: number, field: string, device?: string): LimitWrite {
  const prefix = device === undefined ? '' : `${device} `;
  return {
    controller: 'io',
    file: 'io.bfq.weight',
    value: `${prefix}${weight}`,
    field,
    isDefault: false,
    instead: { file: 'io.weight', value: `${prefix}${ioWeightFromBlkio(weight)}` },
    replaced: (text) => {
      const own = new RegExp(`^${device ?? 'default'} (\\d+)`, 'm').exec(text)?.[1];
      return own === undefined ? `${prefix}default` : `${prefix}${own}`;
    },
  };
}

function blockIoWrites(blockIo: RuntimeBlockIo): readonly LimitWrite[] | string {
  const withLeaf = (blockIo.weightDevice ?? []).some(({ leafWeight }) => asked(leafWeight) !== undefined);
  if (asked(blockIo.leafWeight) !== undefined || withLeaf)
    return 'blockIO.leafWeight cannot be enforced: cgroup v2 has no such value';
  const writes: LimitWrite[] = [];
  if (blockIo.weight !== undefined && asked(blockIo.weight) !== undefined)
    writes.push(weightWrite(blockIo.weight, 'blockIO.weight'));
  for (const { major, minor, weight } of blockIo.weightDevice ?? [])
    if (weight !== undefined && asked(weight) !== undefined)
      writes.push(weightWrite(weight, 'blockIO.weightDevice', `${major}:${minor}`));
  const throttles = [
    ['throttleReadBpsDevice', 'rbps'],
    ['throttleWriteBpsDevice', 'wbps'],
    ['throttleReadIOPSDevice', 'riops'],
    ['throttleWriteIOPSDevice', 'wiops'],
  ] as const;
  for (const [field, key] of throttles)
    for (const { major, minor, rate } of blockIo[field] ?? []) {
      const device = `${major}:${minor}`;
      writes.push({
        controller: 'io',
        file: 'io.max',
        // v1's 0 takes a limit away, v2 has a word for it.
        value: `${device} ${key}=${asked(rate) ?? unlimited}`,
        field: `blockIO.${field}`,
        isDefault: false,
        replaced: (text) => {
          const line = text.split('\n').find((one) => one.startsWith(`${device} `)) ?? '';
          return `${device} ${key}=${new RegExp(`\\b${key}=(\\w+)`).exec(line)?.[1] ?? unlimited}`;
        },
      });
    }
  return writes;
}

/** Names of v2's own files, as they are. What holds processes or kills them is no limit. */
function unifiedWrites({ unified }: RuntimeResources): readonly LimitWrite[] | string {
  const writes: LimitWrite[] = [];
  for (const [file, text] of Object.entries(unified ?? {})) {
    if (!/^[a-zA-Z0-9_.-]+$/.test(file) || !file.includes('.'))
      return `unified ${JSON.stringify(file)} is not the name of a file of cgroup v2`;
    if (/^cgroup\.(procs|threads|kill|freeze|type)$/.test(file))
      return `unified ${JSON.stringify(file)} is not a limit`;
    const lines = text.split('\n').filter((line) => line !== '');
    for (const value of lines.length === 0 ? [''] : lines)
      writes.push({ controller: 'unified', file, value, field: `unified["${file}"]`, isDefault: false });
  }
  return writes;
}

function cpusetWrites(cpu: RuntimeCpu): readonly LimitWrite[] {
  const own = (file: string, value: string | undefined, field: string): readonly LimitWrite[] =>
    value === undefined ? [] : [{ controller: 'cpuset', file, value, field, isDefault: value === '' }];
  return [...own('cpuset.cpus', cpu.cpus, 'cpu.cpus'), ...own('cpuset.mems', cpu.mems, 'cpu.mems')];
}

/** The writes of one v2 controller, or why they cannot be. See the kernel's Documentation/admin-guide/cgroup-v2.rst. */
export function v2Writes(resources: RuntimeResources, controller: string): readonly LimitWrite[] | string {
  switch (controller) {
    case 'memory':
      return memoryWrites(resources.memory ?? {});
    case 'cpu':
      return cpuWrites(resources.cpu ?? {});
    case 'cpuset':
      return cpusetWrites(resources.cpu ?? {});
    case 'pids':
      return pidsWrites(resources);
    case 'io':
      return blockIoWrites(resources.blockIO ?? {});
    case 'hugetlb':
      return hugepageWrites(resources, 'max');
    case 'rdma':
      return rdmaWrites(resources);
    case 'unified':
      return unifiedWrites(resources);
    default:
      return [];
  }
}

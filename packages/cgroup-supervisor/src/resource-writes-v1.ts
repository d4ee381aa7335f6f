import type { RuntimeBlockIo, RuntimeCpu, RuntimeMemory, RuntimeResources } from '@gantry/oci';
import { sharesRange } from './cpu-weight.js';
import { lineOf, type LimitWrite } from './limit-write.js';
import { asked, limitText } from './resource-numbers.js';

const unlimited = '-1';

function memoryWrites(memory: RuntimeMemory): readonly LimitWrite[] | string {
  const writes: LimitWrite[] = [];
  const limit = asked(memory.limit);
  const limitOf = (file: string, field: string, value: bigint | undefined, isOptional = false): void => {
    if (value === undefined) return;
    const text = limitText(value, unlimited);
    writes.push({
      controller: 'memory',
      file,
      value: text,
      field,
      isDefault: text === unlimited,
      isOptional,
    });
  };
  limitOf('memory.limit_in_bytes', 'memory.limit', limit);
  const swap = asked(memory.swap);
  // Unlimited memory without a word on swap means both.
  if (swap === undefined && limit !== undefined && limit < 0n)
    limitOf('memory.memsw.limit_in_bytes', 'memory.swap', -1n, true);
  limitOf('memory.memsw.limit_in_bytes', 'memory.swap', swap);
  limitOf('memory.soft_limit_in_bytes', 'memory.reservation', asked(memory.reservation));
  // The kernel has given the limit of its own memory up; where the file is there still, it takes a value.
  limitOf('memory.kmem.limit_in_bytes', 'memory.kernel', asked(memory.kernel), true);
  limitOf('memory.kmem.tcp.limit_in_bytes', 'memory.kernelTCP', asked(memory.kernelTCP));
  if (memory.swappiness !== undefined)
    writes.push({
      controller: 'memory',
      file: 'memory.swappiness',
      value: String(memory.swappiness),
      field: 'memory.swappiness',
      isDefault: false,
    });
  if (memory.disableOOMKiller !== undefined)
    writes.push({
      controller: 'memory',
      file: 'memory.oom_control',
      value: memory.disableOOMKiller ? '1' : '0',
      field: 'memory.disableOOMKiller',
      isDefault: !memory.disableOOMKiller,
      replaced: (text) => /oom_kill_disable (\d)/.exec(text)?.[1] ?? text.trim(),
    });
  return memory.useHierarchy === false
    ? 'memory.useHierarchy false cannot be enforced: this kernel always counts hierarchically'
    : writes;
}

function cpuWrites(cpu: RuntimeCpu): readonly LimitWrite[] {
  const writes: LimitWrite[] = [];
  const add = (file: string, field: string, value: string | undefined, fresh: string): void => {
    if (value !== undefined)
      writes.push({ controller: 'cpu', file, value, field: `cpu.${field}`, isDefault: value === fresh });
  };
  const quota = asked(cpu.quota);
  add('cpu.idle', 'idle', cpu.idle?.toString(), '0');
  add('cpu.cfs_period_us', 'period', asked(cpu.period)?.toString(), '100000');
  add('cpu.cfs_quota_us', 'quota', quota === undefined ? undefined : limitText(quota, unlimited), unlimited);
  add('cpu.cfs_burst_us', 'burst', cpu.burst?.toString(), '0');
  // An idle group has no shares.
  if (cpu.idle !== 1) add('cpu.shares', 'shares', asked(cpu.shares)?.toString(), String(sharesRange.default));
  add('cpu.rt_period_us', 'realtimePeriod', asked(cpu.realtimePeriod)?.toString(), '1000000');
  add('cpu.rt_runtime_us', 'realtimeRuntime', asked(cpu.realtimeRuntime)?.toString(), '0');
  return writes;
}

/** Never a default: a fresh v1 cpuset is empty and takes no process. */
function cpusetWrites(cpu: RuntimeCpu): readonly LimitWrite[] {
  const own = (file: string, value: string | undefined, field: string): readonly LimitWrite[] =>
    value === undefined || value === ''
      ? []
      : [{ controller: 'cpuset', file, value, field, isDefault: false }];
  return [...own('cpuset.cpus', cpu.cpus, 'cpu.cpus'), ...own('cpuset.mems', cpu.mems, 'cpu.mems')];
}

/** bfq's files where the kernel has no others. */
function weightWrite(name: string, value: string, field: string, key?: string): LimitWrite {
  return {
    controller: 'blkio',
    file: `blkio.${name}`,
    value,
    field,
    isDefault: false,
    instead: { file: `blkio.bfq.${name}`, value },
    ...(key === undefined ? {} : { replaced: lineOf(key, '0') }),
  };
}

function blockIoWrites(blockIo: RuntimeBlockIo): readonly LimitWrite[] {
  const writes: LimitWrite[] = [];
  const { weight, leafWeight } = blockIo;
  if (asked(weight) !== undefined) writes.push(weightWrite('weight', String(weight), 'blockIO.weight'));
  if (asked(leafWeight) !== undefined)
    writes.push(weightWrite('leaf_weight', String(leafWeight), 'blockIO.leafWeight'));
  for (const device of blockIo.weightDevice ?? []) {
    const key = `${device.major}:${device.minor}`;
    const own = (name: string, value: number | undefined, field: string): void => {
      if (asked(value) !== undefined)
        writes.push(weightWrite(name, `${key} ${value}`, `blockIO.weightDevice.${field}`, key));
    };
    own('weight_device', device.weight, 'weight');
    own('leaf_weight_device', device.leafWeight, 'leafWeight');
  }
  const throttles = [
    ['throttleReadBpsDevice', 'read_bps_device'],
    ['throttleWriteBpsDevice', 'write_bps_device'],
    ['throttleReadIOPSDevice', 'read_iops_device'],
    ['throttleWriteIOPSDevice', 'write_iops_device'],
  ] as const;
  for (const [field, file] of throttles)
    for (const { major, minor, rate } of blockIo[field] ?? [])
      writes.push({
        controller: 'blkio',
        file: `blkio.throttle.${file}`,
        value: `${major}:${minor} ${rate}`,
        field: `blockIO.${field}`,
        isDefault: false,
        replaced: lineOf(`${major}:${minor}`, '0'),
      });
  return writes;
}

function networkWrites(
  resources: RuntimeResources,
  controller: 'net_cls' | 'net_prio',
): readonly LimitWrite[] {
  const { classID, priorities } = resources.network ?? {};
  if (controller === 'net_cls')
    return classID === undefined
      ? []
      : [
          {
            controller,
            file: 'net_cls.classid',
            value: String(classID),
            field: 'network.classID',
            isDefault: classID === 0,
          },
        ];
  return (priorities ?? []).map(({ name, priority }) => ({
    controller,
    file: 'net_prio.ifpriomap',
    value: `${name} ${priority}`,
    field: 'network.priorities',
    isDefault: priority === 0,
    replaced: lineOf(name, '0'),
  }));
}

/** rdma.max is the same on v1 and v2. */
export function rdmaWrites({ rdma }: RuntimeResources): readonly LimitWrite[] {
  return Object.entries(rdma ?? {}).map(([device, { hcaHandles, hcaObjects }]) => ({
    controller: 'rdma',
    file: 'rdma.max',
    value: [
      device,
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ].join(' '),
    field: `rdma.${device}`,
    isDefault: hcaHandles === undefined && hcaObjects === undefined,
    replaced: lineOf(device, 'hca_handle=max hca_object=max'),
  }));
}

/** The same names on v1 and v2 but for the last word. */
export function hugepageWrites(
  { hugepageLimits }: RuntimeResources,
  lastWord: 'limit_in_bytes' | 'max',
): readonly LimitWrite[] {
  return (hugepageLimits ?? []).flatMap(({ pageSize, limit }) => {
    const size = /^[1-9]\d*[KMGT]B$/.test(pageSize) ? pageSize : 'unknown';
    const write = {
      controller: 'hugetlb',
      value: String(limit),
      field: `hugepageLimits[${pageSize}]`,
      isDefault: false,
    };
    return [
      { ...write, file: `hugetlb.${size}.${lastWord}` },
      // Reserved pages count apart since Linux 5.7, and could be hoarded otherwise.
      { ...write, file: `hugetlb.${size}.rsvd.${lastWord}`, isOptional: true },
    ];
  });
}

/** pids.max is the same on v1 and v2. */
export function pidsWrites({ pids }: RuntimeResources): readonly LimitWrite[] {
  if (pids?.limit === undefined) return [];
  // With none allowed not even the container's own process could be made: callers of old say "unlimited" so.
  const value = asked(pids.limit) === undefined ? 'max' : limitText(BigInt(pids.limit), 'max');
  return [{ controller: 'pids', file: 'pids.max', value, field: 'pids.limit', isDefault: value === 'max' }];
}

/** The writes of one v1 controller, or why they cannot be. See the kernel's Documentation/admin-guide/cgroup-v1. */
export function v1Writes(resources: RuntimeResources, controller: string): readonly LimitWrite[] | string {
  switch (controller) {
    case 'memory':
      return memoryWrites(resources.memory ?? {});
    case 'cpu':
      return cpuWrites(resources.cpu ?? {});
    case 'cpuset':
      return cpusetWrites(resources.cpu ?? {});
    case 'pids':
      return pidsWrites(resources);
    case 'blkio':
      return blockIoWrites(resources.blockIO ?? {});
    case 'hugetlb':
      return hugepageWrites(resources, 'limit_in_bytes');
    case 'net_cls':
    case 'net_prio':
      return networkWrites(resources, controller);
    case 'rdma':
      return rdmaWrites(resources);
    default:
      return [];
  }
}

/**
 * The order in which memory's two limits may change: the kernel refuses any moment in which memory plus swap is
 * below memory.
 *
 * @param currentSwapLimitBytes what memory.memsw.limit_in_bytes says now
 */
export function orderMemoryWrites<W extends LimitWrite>(
  writes: readonly W[],
  currentSwapLimitBytes: number,
): readonly W[] {
  const limit = writes.find((write) => write.file === 'memory.limit_in_bytes');
  const swap = writes.find((write) => write.file === 'memory.memsw.limit_in_bytes');
  if (limit === undefined || swap === undefined) return writes;
  const target = limit.value === unlimited ? Number.POSITIVE_INFINITY : Number(limit.value);
  if (target <= currentSwapLimitBytes) return writes;
  const others = writes.filter((write) => write !== limit && write !== swap);
  return [swap, limit, ...others];
}

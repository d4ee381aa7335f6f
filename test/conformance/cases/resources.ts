import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { differently, differentlyOn, type Case } from '../case.js';
import { isUnified, rootDisk } from '../machine.js';
import { cgroupParent, type Subject } from '../subject.js';
import type { Difference } from '../verdict.js';

const mebibyte = 2 ** 20;

/** By file: "memory/memory.limit_in_bytes" where each controller has a hierarchy, "memory.max" on cgroup v2. */
type Values = Readonly<Record<string, string | RegExp>>;

/** One state of the limits: what is asked for, and what the files say then. */
interface Limits {
  readonly resources: Record<string, unknown>;
  /** Absent: that version has no such thing. */
  readonly v1?: Values;
  readonly v2?: Values;
  /** Where v1 lacks the controller and the v2 hierarchy beside it has it: in force, or refused by name. */
  readonly hybrid?: Values;
}

interface Promised {
  readonly title: string;
  readonly covers: readonly string[];
  readonly differs?: Case['differs'];
  readonly created: Limits;
  /** What `update --resources -` is told. */
  readonly updated: Limits;
  /** What a refusal names. */
  readonly named: RegExp;
}

function assertValues(t: Subject, values: Values): void {
  for (const [path, expected] of Object.entries(values)) {
    const [file = '', controller = ''] = path.split('/').reverse();
    const text = t.limit(controller, file) ?? 'no such file';
    if (typeof expected === 'string') assert.equal(text, expected, path);
    else assert.match(text, expected, path);
  }
}

const isThere = (path: string): boolean =>
  existsSync(join('/sys/fs/cgroup', dirname(path), cgroupParent, basename(path)));

/** The values as this machine has them; undefined where none of the files is. */
function valuesHere({ v1, v2, hybrid }: Limits): Values | undefined {
  return (isUnified ? [v2] : [v1, hybrid]).find((values) => Object.keys(values ?? {}).some(isThere));
}

function updateTo(t: Subject, resources: object): Promise<string> {
  return t.must(['update', '--resources', '-', t.id], { input: JSON.stringify(resources) });
}

/** What the machine lacks must be refused by name: a container without a limit that was asked for is worse than none. */
function limitCase({ title, covers, differs, created, updated, named }: Promised): Case {
  return {
    title,
    covers: ['linux.resources', 'update --resources', ...covers.map((name) => `linux.resources.${name}`)],
    ...(differs === undefined ? {} : { differs }),
    async judge(t) {
      t.spec.linux.resources = created.resources;
      const values = valuesHere(created);
      if (values === undefined) {
        await t.refused(named);
        return;
      }
      if (values === created.hybrid) {
        const { code, stderr } = await t.run(['true']);
        if (code !== 0) assert.match(stderr, named);
        if (code !== 0) return;
      }
      await t.live();
      assertValues(t, values);
      await updateTo(t, updated.resources);
      assertValues(t, valuesHere(updated) ?? {});
    },
  };
}

const throttle = (rate: number): object[] => [{ ...rootDisk, rate }];
const disk = `${rootDisk.major}:${rootDisk.minor}`;
/** There wherever the kernel has loop devices, and of no use while nothing is attached to it. */
const someDevice = { type: 'b', major: 7, minor: 0 };

const newer = (since: string): Difference => differently(`came with ${since}`, /./);
const updateLeavesOut = (runtime: string): Difference =>
  differently(`update of ${runtime} does not look at it`, /./s);
const unsignedOnly = differentlyOn(
  'v1',
  'crun 1.8 hands an update of -1 to the kernel as it is',
  /Invalid argument|out of range/,
);
const leavesCgroups = differentlyOn(
  'v1',
  'crun 1.8 refuses and leaves the cgroups',
  /left behind|No such file/,
);

const realTime = limitCase({
  title: 'cpu.realtimeRuntime and cpu.realtimePeriod are set',
  covers: ['cpu.realtimeRuntime', 'cpu.realtimePeriod'],
  created: {
    resources: { cpu: { realtimeRuntime: 2000, realtimePeriod: 500_000 } },
    v1: { 'cpu/cpu.rt_runtime_us': '2000', 'cpu/cpu.rt_period_us': '500000' },
  },
  updated: {
    resources: { cpu: { realtimeRuntime: 1000 } },
    v1: { 'cpu/cpu.rt_runtime_us': '1000', 'cpu/cpu.rt_period_us': '500000' },
  },
  named: /real-?time/i,
});

export const resourceCases: readonly Case[] = [
  limitCase({
    title: 'memory.limit is the limit of the memory, and what lies below it is refused later',
    covers: ['memory', 'memory.limit'],
    created: {
      resources: { memory: { limit: 64 * mebibyte } },
      v1: { 'memory/memory.limit_in_bytes': '67108864' },
      v2: { 'memory.max': '67108864' },
    },
    updated: {
      resources: { memory: { limit: 96 * mebibyte } },
      v1: { 'memory/memory.limit_in_bytes': '100663296' },
      v2: { 'memory.max': '100663296' },
    },
    named: /memory/,
  }),
  limitCase({
    title: 'memory.swap is memory and swap together',
    covers: ['memory.swap'],
    created: {
      resources: { memory: { limit: 64 * mebibyte, swap: 80 * mebibyte } },
      v1: { 'memory/memory.memsw.limit_in_bytes': '83886080' },
      v2: { 'memory.max': '67108864', 'memory.swap.max': '16777216' },
    },
    updated: {
      resources: { memory: { limit: 96 * mebibyte, swap: 128 * mebibyte } },
      v1: { 'memory/memory.limit_in_bytes': '100663296', 'memory/memory.memsw.limit_in_bytes': '134217728' },
      v2: { 'memory.max': '100663296', 'memory.swap.max': '33554432' },
    },
    named: /swap/,
  }),
  limitCase({
    title: 'a memory.limit of -1 takes the limits of memory and swap away',
    covers: ['memory.limit', 'memory.swap'],
    differs: { crun: unsignedOnly },
    created: {
      resources: { memory: { limit: 64 * mebibyte, swap: 64 * mebibyte } },
      v1: { 'memory/memory.memsw.limit_in_bytes': '67108864' },
      v2: { 'memory.max': '67108864', 'memory.swap.max': '0' },
    },
    updated: {
      resources: { memory: { limit: -1 } },
      v1: {
        'memory/memory.limit_in_bytes': '9223372036854771712',
        'memory/memory.memsw.limit_in_bytes': '9223372036854771712',
      },
      v2: { 'memory.max': 'max', 'memory.swap.max': 'max' },
    },
    named: /memory/,
  }),
  limitCase({
    title: 'memory.reservation is what the container keeps when memory is scarce',
    covers: ['memory.reservation'],
    created: {
      resources: { memory: { reservation: 32 * mebibyte } },
      v1: { 'memory/memory.soft_limit_in_bytes': '33554432' },
      v2: { 'memory.low': '33554432' },
    },
    updated: {
      resources: { memory: { reservation: 48 * mebibyte } },
      v1: { 'memory/memory.soft_limit_in_bytes': '50331648' },
      v2: { 'memory.low': '50331648' },
    },
    named: /reservation/,
  }),
  limitCase({
    title: 'memory.kernelTCP is the limit of socket buffers',
    covers: ['memory.kernelTCP'],
    differs: { runc: differently('runc 1.1 leaves it out', /./) },
    created: {
      resources: { memory: { kernelTCP: 4 * mebibyte } },
      v1: { 'memory/memory.kmem.tcp.limit_in_bytes': '4194304' },
    },
    updated: {
      resources: { memory: { kernelTCP: 8 * mebibyte } },
      v1: { 'memory/memory.kmem.tcp.limit_in_bytes': '8388608' },
    },
    named: /kernel|tcp|kmem/i,
  }),
  {
    // Linux takes the value on cgroup v1 and has enforced none since 5.16; v2 never had it.
    title: 'memory.kernel is taken, though no kernel of today enforces it',
    covers: ['linux.resources.memory.kernel'],
    async judge(t) {
      t.spec.linux.resources = { memory: { kernel: 32 * mebibyte } };
      assert.equal(await t.inside('echo', 'ran'), 'ran\n');
    },
  },
  limitCase({
    title: 'memory.swappiness is set',
    covers: ['memory.swappiness'],
    differs: { runc: updateLeavesOut('runc 1.1') },
    created: {
      resources: { memory: { swappiness: 10 } },
      v1: { 'memory/memory.swappiness': '10' },
    },
    updated: { resources: { memory: { swappiness: 0 } }, v1: { 'memory/memory.swappiness': '0' } },
    named: /swappiness/,
  }),
  limitCase({
    title: 'memory.disableOOMKiller keeps the kernel from killing',
    covers: ['memory.disableOOMKiller'],
    differs: { runc: updateLeavesOut('runc 1.1'), crun: updateLeavesOut('crun 1.8') },
    created: {
      resources: { memory: { limit: 64 * mebibyte, disableOOMKiller: true } },
      v1: { 'memory/memory.oom_control': /^oom_kill_disable 1$/m },
    },
    updated: {
      resources: { memory: { disableOOMKiller: false } },
      v1: { 'memory/memory.oom_control': /^oom_kill_disable 0$/m },
    },
    named: /OOM/i,
  }),
  {
    title: 'with memory.checkBeforeUpdate a limit below what is used is refused',
    covers: ['linux.resources.memory.checkBeforeUpdate', 'linux.resources.memory.useHierarchy'],
    async judge(t) {
      t.spec.linux.resources = { memory: { limit: 64 * mebibyte, useHierarchy: true } };
      await t.live('sh', '-c', 'mkdir /dev/shm/x; head -c 8000000 /dev/zero >/dev/shm/x/y; echo; sleep 100');
      const input = JSON.stringify({ memory: { limit: 4096, checkBeforeUpdate: true } });
      const { code, stderr } = await t.ask(['update', '--resources', '-', t.id], { input });
      assert.notEqual(code, 0, 'accepted');
      assert.match(stderr, /memory/);
      assertValues(
        t,
        isUnified ? { 'memory.max': '67108864' } : { 'memory/memory.limit_in_bytes': '67108864' },
      );
      await t.statusIs('running');
    },
  },
  limitCase({
    title: 'cpu.shares weigh the container against others',
    covers: ['cpu', 'cpu.shares'],
    created: {
      resources: { cpu: { shares: 512 } },
      v1: { 'cpu/cpu.shares': '512' },
      v2: { 'cpu.weight': /^(20|59)$/ },
    },
    updated: {
      resources: { cpu: { shares: 2048 } },
      v1: { 'cpu/cpu.shares': '2048' },
      v2: { 'cpu.weight': /^(79|174)$/ },
    },
    named: /shares/,
  }),
  limitCase({
    title: 'cpu.quota and cpu.period bound the time, and each may change alone',
    covers: ['cpu.quota', 'cpu.period'],
    created: {
      resources: { cpu: { quota: 20_000, period: 50_000 } },
      v1: { 'cpu/cpu.cfs_quota_us': '20000', 'cpu/cpu.cfs_period_us': '50000' },
      v2: { 'cpu.max': '20000 50000' },
    },
    updated: {
      resources: { cpu: { quota: 30_000 } },
      v1: { 'cpu/cpu.cfs_quota_us': '30000', 'cpu/cpu.cfs_period_us': '50000' },
      v2: { 'cpu.max': '30000 50000' },
    },
    named: /quota/,
  }),
  limitCase({
    title: 'a cpu.quota of -1 takes the bound away',
    covers: ['cpu.quota'],
    differs: { crun: unsignedOnly },
    created: {
      resources: { cpu: { quota: 20_000, period: 100_000 } },
      v1: { 'cpu/cpu.cfs_quota_us': '20000' },
      v2: { 'cpu.max': '20000 100000' },
    },
    updated: {
      resources: { cpu: { quota: -1 } },
      v1: { 'cpu/cpu.cfs_quota_us': '-1' },
      v2: { 'cpu.max': 'max 100000' },
    },
    named: /quota/,
  }),
  limitCase({
    title: 'cpu.burst is what may be saved up',
    covers: ['cpu.burst'],
    differs: { runc: newer('runc 1.2'), crun: newer('crun 1.9') },
    created: {
      resources: { cpu: { quota: 20_000, period: 50_000, burst: 10_000 } },
      v1: { 'cpu/cpu.cfs_burst_us': '10000' },
      v2: { 'cpu.max.burst': '10000' },
    },
    updated: {
      resources: { cpu: { burst: 5000 } },
      v1: { 'cpu/cpu.cfs_burst_us': '5000' },
      v2: { 'cpu.max.burst': '5000' },
    },
    named: /burst/,
  }),
  {
    ...realTime,
    async judge(t) {
      // A cgroup has no more real time than its parent, and that none to begin with.
      const parent = join('/sys/fs/cgroup/cpu', cgroupParent, 'cpu.rt_runtime_us');
      if (existsSync(parent)) writeFileSync(parent, '10000');
      await realTime.judge(t);
    },
  },
  limitCase({
    title: 'cpu.cpus and cpu.mems are the processors and memory nodes',
    covers: ['cpu.cpus', 'cpu.mems'],
    created: {
      resources: { cpu: { cpus: '0', mems: '0' } },
      v1: { 'cpuset/cpuset.cpus': '0', 'cpuset/cpuset.mems': '0' },
      v2: { 'cpuset.cpus': '0', 'cpuset.mems': '0' },
    },
    updated: {
      resources: { cpu: { cpus: '0-1' } },
      v1: { 'cpuset/cpuset.cpus': '0-1', 'cpuset/cpuset.mems': '0' },
      v2: { 'cpuset.cpus': '0-1', 'cpuset.mems': '0' },
    },
    named: /cpu/,
  }),
  limitCase({
    title: 'cpu.idle lets everything else go first',
    covers: ['cpu.idle'],
    differs: { runc: newer('runc 1.2') },
    created: { resources: { cpu: { idle: 1 } }, v1: { 'cpu/cpu.idle': '1' }, v2: { 'cpu.idle': '1' } },
    updated: { resources: { cpu: { idle: 0 } }, v1: { 'cpu/cpu.idle': '0' }, v2: { 'cpu.idle': '0' } },
    named: /idle/,
  }),
  limitCase({
    title: 'pids.limit bounds the number of processes, and -1 takes the bound away',
    covers: ['pids', 'pids.limit'],
    differs: { crun: unsignedOnly },
    created: {
      resources: { pids: { limit: 20 } },
      v1: { 'pids/pids.max': '20' },
      v2: { 'pids.max': '20' },
    },
    updated: {
      resources: { pids: { limit: -1 } },
      v1: { 'pids/pids.max': 'max' },
      v2: { 'pids.max': 'max' },
    },
    named: /pids/,
  }),
  limitCase({
    title: 'blockIO throttles are in force for the device',
    covers: [
      'blockIO',
      ...['ReadBps', 'WriteBps', 'ReadIOPS', 'WriteIOPS'].map((what) => `blockIO.throttle${what}Device[].*`),
    ],
    differs: { runc: updateLeavesOut('runc 1.1') },
    created: {
      resources: {
        blockIO: {
          throttleReadBpsDevice: throttle(1_000_000),
          throttleWriteBpsDevice: throttle(2_000_000),
          throttleReadIOPSDevice: throttle(300),
          throttleWriteIOPSDevice: throttle(400),
        },
      },
      v1: {
        'blkio/blkio.throttle.read_bps_device': `${disk} 1000000`,
        'blkio/blkio.throttle.write_bps_device': `${disk} 2000000`,
        'blkio/blkio.throttle.read_iops_device': `${disk} 300`,
        'blkio/blkio.throttle.write_iops_device': `${disk} 400`,
      },
      v2: { 'io.max': `${disk} rbps=1000000 wbps=2000000 riops=300 wiops=400` },
    },
    updated: {
      resources: { blockIO: { throttleReadBpsDevice: throttle(5_000_000) } },
      v1: {
        'blkio/blkio.throttle.read_bps_device': `${disk} 5000000`,
        'blkio/blkio.throttle.write_bps_device': `${disk} 2000000`,
      },
      v2: { 'io.max': `${disk} rbps=5000000 wbps=2000000 riops=300 wiops=400` },
    },
    named: /throttle|blkio|io\.max/i,
  }),
  limitCase({
    title: 'blockIO.weight is the share of the disk',
    covers: ['blockIO.weight'],
    differs: {
      crun: differentlyOn(
        'v1',
        'crun 1.8 does not know the files of the bfq scheduler on cgroup v1',
        /blkio.weight/,
      ),
    },
    created: {
      resources: { blockIO: { weight: 200 } },
      v1: { 'blkio/blkio.bfq.weight': '200' },
      v2: { 'io.bfq.weight': 'default 200' },
    },
    updated: {
      resources: { blockIO: { weight: 300 } },
      v1: { 'blkio/blkio.bfq.weight': '300' },
      v2: { 'io.bfq.weight': 'default 300' },
    },
    named: /weight/,
  }),
  limitCase({
    title: 'blockIO.leafWeight is the share of the disk against inner cgroups',
    covers: ['blockIO.leafWeight', 'blockIO.weightDevice[].*'],
    differs: { crun: leavesCgroups },
    created: {
      resources: { blockIO: { leafWeight: 200, weightDevice: [{ ...rootDisk, leafWeight: 300 }] } },
      v1: { 'blkio/blkio.leaf_weight': '200', 'blkio/blkio.leaf_weight_device': `${disk} 300` },
    },
    updated: {
      resources: { blockIO: { leafWeight: 300 } },
      v1: { 'blkio/blkio.leaf_weight': '300' },
    },
    named: /leaf_?weight|blkio/i,
  }),
  limitCase({
    title: 'hugepageLimits bound the pages of each size, reserved ones too',
    covers: ['hugepageLimits[].*'],
    differs: { crun: leavesCgroups },
    created: {
      resources: { hugepageLimits: [{ pageSize: '2MB', limit: 4 * mebibyte }] },
      v1: { 'hugetlb/hugetlb.2MB.limit_in_bytes': '4194304' },
      v2: { 'hugetlb.2MB.max': '4194304', 'hugetlb.2MB.rsvd.max': '4194304' },
      hybrid: { 'unified/hugetlb.2MB.max': '4194304' },
    },
    updated: {
      resources: { hugepageLimits: [{ pageSize: '2MB', limit: 8 * mebibyte }] },
      v1: { 'hugetlb/hugetlb.2MB.limit_in_bytes': '8388608' },
      v2: { 'hugetlb.2MB.max': '8388608', 'hugetlb.2MB.rsvd.max': '8388608' },
      hybrid: { 'unified/hugetlb.2MB.max': '8388608' },
    },
    named: /huge/i,
  }),
  limitCase({
    title: 'network.classID marks the packets',
    covers: ['network.classID'],
    differs: { crun: leavesCgroups },
    created: { resources: { network: { classID: 0x100001 } }, v1: { 'net_cls/net_cls.classid': '1048577' } },
    updated: { resources: { network: { classID: 0x100002 } }, v1: { 'net_cls/net_cls.classid': '1048578' } },
    named: /classID|net_cls|network/i,
  }),
  limitCase({
    title: 'network.priorities order the packets of each device',
    covers: ['network.priorities[].*'],
    differs: { crun: leavesCgroups },
    created: {
      resources: { network: { priorities: [{ name: 'lo', priority: 3 }] } },
      v1: { 'net_prio/net_prio.ifpriomap': /^lo 3$/m },
    },
    updated: {
      resources: { network: { priorities: [{ name: 'lo', priority: 4 }] } },
      v1: { 'net_prio/net_prio.ifpriomap': /^lo 4$/m },
    },
    named: /priorities|net_prio|network/i,
  }),
  limitCase({
    title: 'rdma limits of a device that is not there are refused by name',
    covers: ['rdma', 'rdma{}.*'],
    differs: { crun: differentlyOn('v1', 'crun 1.8 leaves it out', /accepted/) },
    created: { resources: { rdma: { absent0: { hcaHandles: 3, hcaObjects: 10 } } } },
    updated: { resources: {} },
    named: /rdma/,
  }),
  limitCase({
    title: 'unified has files of cgroup v2 by their names',
    covers: ['unified', 'unified{}'],
    differs: { crun: leavesCgroups },
    created: {
      resources: { unified: { 'memory.high': '50331648', 'memory.oom.group': '1', 'cpu.weight': '50' } },
      v2: { 'memory.high': '50331648', 'memory.oom.group': '1', 'cpu.weight': '50' },
    },
    updated: {
      resources: { unified: { 'memory.high': 'max', 'pids.max': '77' } },
      v2: { 'memory.high': 'max', 'memory.oom.group': '1', 'pids.max': '77' },
    },
    named: /unified/,
  }),
  {
    title: 'a file in unified that no controller has is refused',
    covers: ['linux.resources.unified'],
    differs: { crun: leavesCgroups },
    async judge(t) {
      t.spec.linux.resources = { unified: { 'memory.of.tomorrow': '1' } };
      await t.refused(/unified|memory\.of\.tomorrow/);
    },
  },
  {
    title: 'an update of which one part is refused changes nothing',
    covers: ['update'],
    differs: { crun: differently('crun 1.8 keeps what it has written before', /./) },
    async judge(t) {
      t.spec.linux.resources = { pids: { limit: 50 }, cpu: { shares: 512 } };
      await t.live();
      const input = JSON.stringify({ cpu: { shares: 256, cpus: '4000' }, pids: { limit: 60 } });
      const { code } = await t.ask(['update', '--resources', '-', t.id], { input });
      assert.notEqual(code, 0, 'accepted');
      assertValues(
        t,
        isUnified
          ? { 'pids.max': '50', 'cpu.weight': /^(20|59)$/ }
          : { 'pids/pids.max': '50', 'cpu/cpu.shares': '512' },
      );
    },
  },
  {
    title: 'devices: what the rules deny cannot be opened, what they allow can, in the order of the list',
    covers: ['linux.resources.devices[].*'],
    async judge(t) {
      t.spec.linux['devices'] = [{ path: '/dev/disk', ...someDevice, fileMode: 0o666 }];
      t.spec.linux.resources = {
        devices: [
          { allow: false, access: 'rwm' },
          { allow: true, ...someDevice, access: 'r' },
        ],
      };
      // Nothing is written: the device is only opened.
      const script =
        'dd if=/dev/disk of=/dev/null count=0 2>/dev/null && echo read; dd if=/dev/null of=/dev/disk count=0 conv=notrunc 2>&1 | grep -o "not permitted"; echo x >/dev/null && echo null';
      assert.equal(await t.shell(script), 'read\nnot permitted\nnull\n');
    },
  },
  {
    title: 'devices: an update takes access away and gives it',
    covers: ['linux.resources.devices[].*', 'update --resources'],
    differs: { runc: updateLeavesOut('runc 1.1') },
    async judge(t) {
      t.spec.linux['devices'] = [{ path: '/dev/disk', ...someDevice, fileMode: 0o666 }];
      const rules = (allow: boolean): object[] => [
        { allow: false, access: 'rwm' },
        { allow, ...someDevice, access: 'r' },
      ];
      t.spec.linux.resources = { devices: rules(true) };
      await t.live();
      const canRead = async (): Promise<boolean> =>
        (await t.exec(['dd', 'if=/dev/disk', 'of=/dev/null', 'count=0'])).code === 0;
      assert.equal(await canRead(), true, 'what was allowed');
      await updateTo(t, { devices: rules(false) });
      assert.equal(await canRead(), false, 'what the update denies');
      await updateTo(t, { devices: rules(true) });
      assert.equal(await canRead(), true, 'what the update allows');
    },
  },
];

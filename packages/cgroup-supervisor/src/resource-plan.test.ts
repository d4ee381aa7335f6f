import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuntimeResources } from '@gantry/oci';
import { directoryIn, parseOwnCgroups } from './cgroup-path.js';
import type { Hierarchy } from './hierarchies.js';
import { planResources } from './resource-plan.js';
import { annotationProperties, limitProperties, parseUnitPath } from './systemd-properties.js';

const v1Names = ['cpu', 'memory', 'cpuset', 'pids', 'blkio', 'hugetlb', 'net_cls', 'net_prio', 'rdma'];
const hierarchy = (name: string, kind: 'v1' | 'v2', controllers: readonly string[]): Hierarchy => ({
  name,
  kind,
  controllers,
  mountPoint: `/cg/${name}`,
  readOnly: false,
});
const v1 = { all: v1Names.map((name) => hierarchy(name, 'v1', [name])), unified: undefined };
const unified = hierarchy('unified', 'v2', ['cpu', 'memory', 'cpuset', 'pids', 'io', 'hugetlb', 'rdma']);
const v2 = { all: [unified], unified };

function writes(resources: RuntimeResources, where: typeof v1 | typeof v2): readonly string[] {
  const plan = planResources(resources, where);
  assert.ok('writes' in plan, JSON.stringify(plan));
  return plan.writes.map(({ file, value }) => `${file}=${value}`);
}

function problem(resources: RuntimeResources, where: typeof v1 | typeof v2): string {
  const plan = planResources(resources, where);
  return 'problem' in plan ? plan.problem : 'none';
}

const device = { major: 8, minor: 0 };

test('every limit of the runtime-spec has its v1 file', () => {
  const all: RuntimeResources = {
    memory: {
      limit: 2n ** 62n,
      swap: -1,
      reservation: 5,
      kernelTCP: 7,
      swappiness: 0,
      disableOOMKiller: true,
    },
    cpu: { quota: 5000, period: 10_000, burst: 100, shares: 512, idle: 0, cpus: '0', mems: '0' },
    blockIO: {
      weight: 100,
      weightDevice: [{ ...device, weight: 200 }],
      throttleReadBpsDevice: [{ ...device, rate: 9 }],
    },
    hugepageLimits: [{ pageSize: '2MB', limit: 4 }],
    network: { classID: 1_048_577, priorities: [{ name: 'lo', priority: 3 }] },
    rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 10 } },
  };
  assert.deepEqual(writes(all, v1), [
    'cpuset.cpus=0',
    'cpuset.mems=0',
    'cpu.idle=0',
    'cpu.cfs_period_us=10000',
    'cpu.cfs_quota_us=5000',
    'cpu.cfs_burst_us=100',
    'cpu.shares=512',
    'memory.limit_in_bytes=4611686018427387904',
    'memory.memsw.limit_in_bytes=-1',
    'memory.soft_limit_in_bytes=5',
    'memory.kmem.tcp.limit_in_bytes=7',
    'memory.swappiness=0',
    'memory.oom_control=1',
    'blkio.weight=100',
    'blkio.weight_device=8:0 200',
    'blkio.throttle.read_bps_device=8:0 9',
    'hugetlb.2MB.limit_in_bytes=4',
    'hugetlb.2MB.rsvd.limit_in_bytes=4',
    'net_cls.classid=1048577',
    'net_prio.ifpriomap=lo 3',
    'rdma.max=mlx5_1 hca_handle=3 hca_object=10',
  ]);
});

test('and its v2 file, with the values that v2 counts in', () => {
  const all: RuntimeResources = {
    memory: { limit: 100, swap: 150, reservation: -1 },
    cpu: { quota: 5000, burst: 100, shares: 1024, cpus: '0' },
    blockIO: { weight: 1000, throttleWriteIOPSDevice: [{ ...device, rate: 0 }] },
    hugepageLimits: [{ pageSize: '1GB', limit: 4 }],
    unified: { 'memory.high': '77', 'io.max': '8:0 rbps=1\n8:16 rbps=2' },
  };
  assert.deepEqual(writes(all, v2), [
    'cpuset.cpus=0',
    'cpu.max=5000 100000',
    'cpu.max.burst=100',
    'cpu.weight=100',
    'memory.max=100',
    'memory.swap.max=50',
    'memory.low=0',
    'io.bfq.weight=1000',
    'io.max=8:0 wiops=max',
    'hugetlb.1GB.max=4',
    'hugetlb.1GB.rsvd.max=4',
    'memory.high=77',
    'io.max=8:0 rbps=1',
    'io.max=8:16 rbps=2',
  ]);
});

test('a part of cpu.max leaves the other part as it is', () => {
  const plan = planResources({ cpu: { period: 50_000 } }, v2);
  assert.ok('writes' in plan);
  assert.equal(plan.writes[0]?.complete?.('7000 100000\n'), '7000 50000');
});

test('what a hierarchy lacks is refused by the name of the property', () => {
  const cases: readonly (readonly [RuntimeResources, RegExp])[] = [
    [{ memory: { disableOOMKiller: true } }, /^memory\.disableOOMKiller cannot/],
    [{ memory: { swappiness: 5 } }, /^memory\.swappiness cannot/],
    [{ memory: { swap: 5 } }, /^memory\.swap 5 needs memory\.limit/],
    [{ memory: { limit: 6, swap: 5 } }, /^memory\.swap 5 is below memory\.limit 6/],
    [{ cpu: { realtimeRuntime: 5 } }, /^cpu\.realtimeRuntime cannot/],
    [{ blockIO: { leafWeight: 5 } }, /^blockIO\.leafWeight cannot/],
    [{ network: { classID: 5 } }, /^network\.classID cannot .*"net_cls"/],
    [{ network: { priorities: [{ name: 'lo', priority: 1 }] } }, /^network\.priorities cannot .*"net_prio"/],
    [{ unified: { '../x.y': '1' } }, /^unified "\.\.\/x\.y" is not the name/],
    [{ unified: { 'cgroup.procs': '1' } }, /^unified "cgroup\.procs" is not a limit/],
  ];
  for (const [resources, expected] of cases) assert.match(problem(resources, v2), expected);
  assert.match(problem({ unified: { 'memory.high': '1' } }, v1), /^unified\["memory\.high"\] cannot .*v2/);
});

test('unlimited and unset values need no controller', () => {
  const nothing = { all: [], unified: undefined };
  const resources = {
    memory: { limit: -1 },
    cpu: { quota: -1, shares: 1024 },
    pids: { limit: -1 },
    network: {},
  };
  assert.equal(problem(resources, nothing), 'none');
  assert.match(problem({ pids: { limit: 4 } }, nothing), /^pids\.limit cannot be enforced/);
});

test('a cgroupsPath is absolute from the mount point, or relative to where the caller is', () => {
  const own = parseOwnCgroups('5:cpu,cpuacct:/a/b\n1:name=systemd:/s\n0::/u/v\n');
  const cpu = hierarchy('cpu,cpuacct', 'v1', ['cpu', 'cpuacct']);
  assert.equal(directoryIn(cpu, '/x/y', own, false), '/cg/cpu,cpuacct/x/y');
  assert.equal(directoryIn(cpu, 'x', own, false), '/cg/cpu,cpuacct/a/b/x');
  assert.equal(directoryIn({ ...cpu, root: '/a' }, 'x', own, false), '/cg/cpu,cpuacct/b/x');
  assert.equal(directoryIn(hierarchy('systemd', 'v1', []), 'x', own, false), '/cg/systemd/s/x');
  assert.equal(directoryIn(unified, 'x', own, true), '/cg/unified/u/x');
  assert.equal(directoryIn(unified, '../../../etc', own, false), '/cg/unified/u/v/etc');
});

test('a path for systemd names slice, prefix and name, or is refused as runc does', () => {
  assert.deepEqual(parseUnitPath('a-b.slice:libpod:1', 'id', false), {
    slice: 'a-b.slice',
    unit: 'libpod-1.scope',
  });
  assert.deepEqual(parseUnitPath('', 'id', true), { slice: 'user.slice', unit: 'gantry-oci-id.scope' });
  assert.equal(parseUnitPath('::x.slice', 'id', false).unit, 'x.slice');
  assert.throws(() => parseUnitPath('/a/b', 'id', false), /format "slice:prefix:name"/);
  assert.throws(() => parseUnitPath('a/b.slice:p:n', 'id', false), /invalid slice name/);
});

test('systemd is told the limits that it keeps itself, and what annotations ask for', () => {
  const resources = {
    memory: { limit: 10, swap: 15 },
    cpu: { quota: 1234, period: 100_000, cpus: '0,9' },
    pids: { limit: -1 },
  };
  const texts = limitProperties(resources, true).map(({ name, values }) => `${name}=${values.join(' ')}`);
  assert.deepEqual(texts, [
    'MemoryMax=10',
    'MemorySwapMax=5',
    'AllowedCPUs=2 1 2',
    'CPUQuotaPeriodUSec=100000',
    'CPUQuotaPerSecUSec=20000',
    'TasksMax=18446744073709551615',
  ]);
  assert.deepEqual(annotationProperties({ 'org.systemd.property.TimeoutStopSec': '7', other: 'x' }), [
    { name: 'TimeoutStopUSec', signature: 't', values: ['7000000'] },
  ]);
  assert.throws(() => annotationProperties({ 'org.systemd.property.X': '(1,2)' }), /not a property/);
});

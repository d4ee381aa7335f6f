import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { cgroup } from '@gantry/protocol';
import type { Hierarchies, Hierarchy } from './hierarchies.js';
import type { LimitWrite } from './limit-write.js';
import { orderMemoryWrites } from './resource-writes-v1.js';
import { planWrites } from './plan-writes.js';
import { readLimits } from './limits.js';

const machine = { cpus: [0, 1, 2, 3], memoryNodes: [0] };
const mebibyte = 1024 * 1024;

const hierarchy = (name: string, kind: 'v1' | 'v2', controllers: readonly string[]): Hierarchy => ({
  name,
  kind,
  controllers,
  mountPoint: `/cg/${name}`,
  readOnly: false,
});
const v1: Hierarchies = {
  version: 1,
  all: ['cpu', 'memory', 'cpuset', 'pids'].map((name) => hierarchy(name, 'v1', [name])),
  unified: undefined,
};
const unified = hierarchy('unified', 'v2', ['cpu', 'memory', 'cpuset', 'pids', 'io']);
const v2: Hierarchies = { version: 2, all: [unified], unified };

function problem(asked: Partial<cgroup.Resources>, hierarchies = v1): string | undefined {
  const read = readLimits(asked, machine);
  if ('problem' in read) return read.problem;
  const plan = planWrites(read.limits, hierarchies, { cpus: '0-3', mems: '0' });
  return 'problem' in plan ? plan.problem : undefined;
}

/** What would be written, as "file=value", without what a fresh cgroup has anyway. */
function writes(asked: Partial<cgroup.Resources>, hierarchies: Hierarchies): readonly string[] {
  const read = readLimits(asked, machine);
  assert.ok('limits' in read, JSON.stringify(read));
  const plan = planWrites(read.limits, hierarchies, { cpus: '0-3', mems: '0' });
  assert.ok('writes' in plan, JSON.stringify(plan));
  return plan.writes.filter(({ isDefault }) => !isDefault).map(({ file, value }) => `${file}=${value}`);
}

const everything = {
  memoryLimitBytes: 64 * mebibyte,
  memorySwapLimitBytes: 96 * mebibyte,
  memoryReservationBytes: 32 * mebibyte,
  cpuQuotaUs: 50_000,
  cpuPeriodUs: 200_000,
  cpuShares: 2048,
  cpusetCpus: '0-1',
  cpusetMems: '0',
  pidsLimit: 100,
};

test('v1 takes memory with swap, quota and period apart, and shares as they are', () => {
  assert.deepEqual(writes(everything, v1), [
    'cpuset.cpus=0-1',
    'cpuset.mems=0',
    'cpu.cfs_period_us=200000',
    'cpu.cfs_quota_us=50000',
    'cpu.shares=2048',
    'memory.limit_in_bytes=67108864',
    'memory.memsw.limit_in_bytes=100663296',
    'memory.soft_limit_in_bytes=33554432',
    'pids.max=100',
  ]);
});

test('v2 takes swap alone, quota and period together, and a weight', () => {
  assert.deepEqual(writes(everything, v2), [
    'cpuset.cpus=0-1',
    'cpuset.mems=0',
    'cpu.max=50000 200000',
    'cpu.weight=174',
    'memory.max=67108864',
    'memory.swap.max=33554432',
    'memory.low=33554432',
    'pids.max=100',
  ]);
});

test('without limits nothing is written but what a v1 cpuset needs', () => {
  const nothing = { cpuQuotaUs: -1, pidsLimit: -1, memoryLimitBytes: 0, cpuShares: 0 };
  assert.deepEqual(writes(nothing, v1), ['cpuset.cpus=0-3', 'cpuset.mems=0']);
  assert.deepEqual(writes(nothing, v2), []);
});

test('swap is as large as memory unless told otherwise, and -1 leaves it unlimited', () => {
  const memoryLimitBytes = 10 * mebibyte;
  assert.ok(writes({ memoryLimitBytes }, v1).includes(`memory.memsw.limit_in_bytes=${20 * mebibyte}`));
  assert.ok(writes({ memoryLimitBytes }, v2).includes(`memory.swap.max=${10 * mebibyte}`));
  assert.deepEqual(writes({ memoryLimitBytes, memorySwapLimitBytes: -1 }, v2), [
    `memory.max=${memoryLimitBytes}`,
  ]);
  assert.ok(
    writes({ memoryLimitBytes, memorySwapLimitBytes: memoryLimitBytes }, v2).includes('memory.swap.max=0'),
  );
});

test('memory and its swap change in the order that the kernel allows', () => {
  const write = (file: string, value: string): LimitWrite => ({
    controller: 'memory',
    file,
    value,
    field: '',
    isDefault: false,
  });
  const files = (limit: string, swap: string, current: number): readonly string[] =>
    orderMemoryWrites(
      [write('memory.limit_in_bytes', limit), write('memory.memsw.limit_in_bytes', swap)],
      current,
    ).map(({ file }) => file);
  assert.equal(files('100', '200', 50)[0], 'memory.memsw.limit_in_bytes');
  assert.equal(files('100', '200', 100)[0], 'memory.limit_in_bytes');
  assert.equal(files('-1', '-1', 1e18)[0], 'memory.memsw.limit_in_bytes');
});

test('every limit out of range is refused in one sentence with the value', () => {
  const cases: readonly (readonly [Partial<cgroup.Resources>, RegExp])[] = [
    [{ memoryLimitBytes: 6 * mebibyte - 1 }, /^memory_limit_bytes 6291455 .*6 MiB/],
    [
      { memoryLimitBytes: 10 * mebibyte, memorySwapLimitBytes: 9 * mebibyte },
      /^memory_swap_limit_bytes 9437184 is below memory_limit_bytes 10485760/,
    ],
    [{ memorySwapLimitBytes: 9 * mebibyte }, /^memory_swap_limit_bytes 9437184 needs memory_limit_bytes/],
    [{ memorySwapLimitBytes: -2 }, /^memory_swap_limit_bytes -2/],
    [
      { memoryLimitBytes: 10 * mebibyte, memoryReservationBytes: 11 * mebibyte },
      /^memory_reservation_bytes 11534336 is above/,
    ],
    [{ cpuPeriodUs: 999 }, /^cpu_period_us 999 is out of range: 1000 to 1000000/],
    [{ cpuPeriodUs: 1_000_001 }, /^cpu_period_us 1000001/],
    [{ cpuQuotaUs: 999 }, /^cpu_quota_us 999/],
    [{ cpuQuotaUs: -5 }, /^cpu_quota_us -5/],
    [{ cpuShares: 1 }, /^cpu_shares 1 is out of range: 2 to 262144/],
    [{ cpuShares: 262_145 }, /^cpu_shares 262145/],
    [{ cpusetCpus: '0,9' }, /^cpuset_cpus "0,9" asks for 9, but the CPUs here are 0, 1, 2, 3/],
    [{ cpusetCpus: 'x' }, /^cpuset_cpus "x" is not a list/],
    [{ cpusetMems: '1' }, /^cpuset_mems "1" asks for 1/],
    [{ pidsLimit: -7 }, /^pids_limit -7/],
    [{ pidsLimit: 1.5 }, /^pids_limit 1.5/],
  ];
  for (const [asked, expected] of cases) assert.match(problem(asked) ?? 'none', expected);
});

test('what the machine cannot enforce is refused by name', () => {
  assert.match(problem({ oomKillDisable: true }, v2) ?? '', /^oom_kill_disable cannot be enforced/);
  const poor: Hierarchies = { ...v1, all: v1.all.filter(({ name }) => name !== 'pids') };
  assert.match(problem({ pidsLimit: 5 }, poor) ?? '', /^pids_limit cannot be enforced: .*"pids"/);
  assert.equal(problem({}, poor), undefined);
});

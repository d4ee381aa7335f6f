import assert from 'node:assert/strict';
import { test } from 'node:test';
import { detectHierarchies, homeOf } from './hierarchies.js';
import { parseMountTable } from './mount-table.js';

const none = (): readonly string[] => [];

const hybrid = `22 1 254:0 / / rw,relatime - ext4 /dev/root rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
33 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
42 31 0:39 / /mnt/elsewhere rw - cgroup cgroup rw,pids
`;

test('a hybrid machine has its v1 hierarchies, each once, and the unified one', () => {
  const found = detectHierarchies(hybrid, '/sys/fs/cgroup/', () => ['hugetlb']);
  assert.equal(found?.version, 3);
  assert.deepEqual(
    found.all.map(({ name, kind, mountPoint }) => [name, kind, mountPoint]),
    [
      ['cpu,cpuacct', 'v1', '/sys/fs/cgroup/cpu,cpuacct'],
      ['memory', 'v1', '/sys/fs/cgroup/memory'],
      ['systemd', 'v1', '/sys/fs/cgroup/systemd'],
      ['unified', 'v2', '/sys/fs/cgroup/unified'],
    ],
  );
  assert.equal(homeOf(found, 'cpuacct')?.name, 'cpu,cpuacct');
  assert.equal(homeOf(found, 'hugetlb')?.name, 'unified');
  assert.equal(homeOf(found, 'pids'), undefined);
});

test('a v2 machine has one hierarchy', () => {
  const mountinfo =
    '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 master:1 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n';
  const found = detectHierarchies(mountinfo, '/sys/fs/cgroup', () => ['cpu', 'memory']);
  assert.equal(found?.version, 2);
  assert.deepEqual(found.all, [found.unified]);
  assert.deepEqual(found.unified?.controllers, ['cpu', 'memory']);
});

test('a v1 machine has no unified hierarchy, and a read-only mount is known as one', () => {
  const mountinfo = '35 31 0:32 / /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n';
  const found = detectHierarchies(mountinfo, '/sys/fs/cgroup', none);
  assert.deepEqual([found?.version, found?.unified, found?.all[0]?.readOnly], [1, undefined, true]);
});

test('without cgroups there is nothing', () => {
  assert.equal(
    detectHierarchies('22 1 254:0 / / rw - ext4 /dev/root rw\n', '/sys/fs/cgroup', none),
    undefined,
  );
});

test('mount points with spaces are read as the kernel writes them', () => {
  const [mount] = parseMountTable('35 31 0:32 / /my\\040cgroups/a\\134b rw - cgroup2 cgroup2 rw\n');
  assert.equal(mount?.mountPoint, '/my cgroups/a\\b');
});

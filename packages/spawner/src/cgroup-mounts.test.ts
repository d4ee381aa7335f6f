import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHierarchies, planCgroupMounts } from './cgroup-mounts.js';

const mountinfo = [
  '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
  '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct',
  '40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime shared:5 - cgroup cgroup rw,xattr,release_agent=/x,name=systemd',
  '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate',
].join('\n');

test('hierarchies are read from mountinfo, with what names them', () => {
  assert.deepEqual(parseHierarchies(mountinfo), [
    { mountPoint: '/sys/fs/cgroup/cpu,cpuacct', version: 1, controllers: ['cpu', 'cpuacct'] },
    { mountPoint: '/sys/fs/cgroup/systemd', version: 1, controllers: ['name=systemd'] },
    { mountPoint: '/sys/fs/cgroup/unified', version: 2, controllers: [] },
  ]);
});

test('v2 alone is one mount, v1 one below a tmpfs for each hierarchy', () => {
  const hierarchies = parseHierarchies(mountinfo);
  assert.deepEqual(
    planCgroupMounts(['/sys/fs/cgroup/unified/g'], hierarchies, '/c').map(({ type }) => type),
    ['cgroup2'],
  );
  const mixed = planCgroupMounts(
    ['/sys/fs/cgroup/cpu,cpuacct/g', '/sys/fs/cgroup/systemd/g', '/sys/fs/cgroup/unified/g'],
    hierarchies,
    '/c',
  );
  assert.deepEqual(
    mixed.map(({ target }) => target),
    ['/c', '/c/cpu,cpuacct', '/c/systemd'],
  );
  assert.deepEqual(mixed[2]?.parameters, [
    { key: 'none', value: undefined },
    { key: 'name', value: 'systemd' },
  ]);
});

test('each mount knows the container’s own cgroup, for a container that shares the cgroup namespace of the host', () => {
  const hierarchies = parseHierarchies(mountinfo);
  const paths = ['/sys/fs/cgroup/cpu,cpuacct/g', '/sys/fs/cgroup/systemd/g'];
  assert.deepEqual(
    planCgroupMounts(paths, hierarchies, '/c').map(({ own }) => own),
    [undefined, ...paths],
  );
  assert.deepEqual(
    planCgroupMounts(['/sys/fs/cgroup/unified/g'], hierarchies, '/c').map(({ own }) => own),
    ['/sys/fs/cgroup/unified/g'],
  );
});

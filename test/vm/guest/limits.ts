import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Caller, cgroupOf, readLimit } from './container.js';

const mebibyte = 2 ** 20;
const disk = { major: 7, minor: 0 };
const rules = (allow: boolean): object[] => [
  { allow: false, access: 'rwm' },
  { allow, type: 'b', ...disk, access: 'r' },
];

for (const runtime of ['gantry-oci', 'crun'])
  void describe(`cgroup v2 with ${runtime}`, () => {
    const caller = new Caller({ command: [runtime] });
    const spec = new Caller({ command: ['gantry-oci'] });
    const isOurs = runtime === 'gantry-oci';
    const { id, bundle } = spec.bundle(['sleep', '1000'], (config) => {
      config['ociVersion'] = '1.0.2';
      Object.assign(config.linux, {
        cgroupsPath: `/guest-limits/${runtime}`,
        namespaces: [...config.linux.namespaces.filter(({ type }) => type !== 'cgroup'), { type: 'cgroup' }],
        devices: [{ path: '/dev/disk', type: 'b', ...disk, fileMode: 0o666 }],
        resources: {
          devices: rules(true),
          memory: { limit: 64 * mebibyte, reservation: 32 * mebibyte, swap: 80 * mebibyte },
          cpu: {
            shares: 512,
            quota: 20_000,
            period: 50_000,
            cpus: '0',
            mems: '0',
            ...(isOurs ? { burst: 10_000 } : {}),
          },
          pids: { limit: 20 },
          unified: { 'memory.high': '50331648', 'memory.oom.group': '1' },
        },
      });
    });
    const cgroup = `/guest-limits/${runtime}`;
    const status = (): string => (JSON.parse(caller.must(['state', id])) as { status: string }).status;
    const reads = (): boolean =>
      caller.ask(['exec', id, 'dd', 'if=/dev/disk', 'of=/dev/null', 'count=0']).code === 0;

    void test('a created container has every limit in the files', () => {
      caller.must(['create', '--bundle', bundle, id]);
      const files = [
        'memory.max',
        'memory.low',
        'memory.swap.max',
        'memory.high',
        'memory.oom.group',
        'cpu.max',
        'cpuset.cpus',
        'cpuset.mems',
        'pids.max',
      ];
      assert.deepEqual(
        files.map((file) => readLimit(cgroup, file)),
        ['67108864', '33554432', '16777216', '50331648', '1', '20000 50000', '0', '0', '20'],
      );
      // The conversion of shares changed in 2025.
      assert.match(readLimit(cgroup, 'cpu.weight'), isOurs ? /^59$/ : /^(20|59)$/);
      if (isOurs) assert.equal(readLimit(cgroup, 'cpu.max.burst'), '10000');
    });

    void test('it runs, is in its cgroup, sees it as the root, and takes further processes there', () => {
      caller.must(['start', id]);
      const pid = caller.pidOf(id);
      assert.equal(cgroupOf(pid), cgroup);
      assert.equal(caller.must(['exec', id, 'cat', '/proc/self/cgroup']), '0::/\n');
      assert.deepEqual(JSON.parse(caller.must(['ps', '--format', 'json', id])), [pid]);
    });

    void test('a program of the kernel decides which devices can be opened, and an update replaces it', () => {
      assert.equal(reads(), true, 'what was allowed');
      caller.must(['update', '--resources', '-', id], JSON.stringify({ devices: rules(false) }));
      assert.equal(reads(), false, 'what the update denies');
    });

    void test('an update changes what it names and leaves the rest', () => {
      const changed = {
        memory: { limit: 96 * mebibyte, swap: 128 * mebibyte },
        cpu: { quota: 30_000, period: 50_000 },
        pids: { limit: 30 },
      };
      caller.must(['update', '--resources', '-', id], JSON.stringify(changed));
      const files = ['memory.max', 'memory.swap.max', 'memory.low', 'cpu.max', 'cpuset.cpus', 'pids.max'];
      assert.deepEqual(
        files.map((file) => readLimit(cgroup, file)),
        ['100663296', '33554432', '33554432', '30000 50000', '0', '30'],
      );
    });

    void test('it is frozen and thawed, and its figures are told', () => {
      caller.must(['pause', id]);
      assert.match(readLimit(cgroup, 'cgroup.events'), /frozen 1/);
      assert.equal(status(), 'paused');
      caller.must(['resume', id]);
      assert.match(readLimit(cgroup, 'cgroup.events'), /frozen 0/);
      if (!isOurs) return;
      const { data } = JSON.parse(caller.must(['events', '--stats', id])) as {
        data: { pids: object; memory: { usage: { limit: number } } };
      };
      assert.deepEqual(data.pids, { current: 1, limit: 30 });
      assert.equal(data.memory.usage.limit, 96 * mebibyte);
    });

    void test('kill --all ends every process, delete leaves no cgroup', () => {
      caller.must(['kill', '--all', id, 'KILL']);
      caller.must(['delete', '--force', id]);
      assert.equal(existsSync(join('/sys/fs/cgroup', cgroup)), false);
    });
  });

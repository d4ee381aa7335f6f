import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Caller, cgroupOf, readLimit, type Config } from './container.js';

const mebibyte = 2 ** 20;
const units = (...words: string[]): string =>
  spawnSync('busctl', ['--system', ...words], { encoding: 'utf8' }).stdout.trim();
const manager = ['org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager'];

/** systemd's own word on a unit; undefined when it knows none of that name. */
function pathOf(unit: string): string | undefined {
  return /^o "(.+)"$/.exec(units('call', ...manager, 'GetUnit', 's', unit))?.[1];
}

function propertyOf(unit: string, name: string, kind = 'Scope'): string {
  return units(
    'get-property',
    manager[0] ?? '',
    pathOf(unit) ?? '',
    `org.freedesktop.systemd1.${kind}`,
    name,
  );
}

function inScope(path: string, resources: object, annotations = {}) {
  return (config: Config): void => {
    Object.assign(config.linux, { cgroupsPath: path, resources });
    config['annotations'] = annotations;
  };
}

const limits = {
  memory: { limit: 64 * mebibyte, reservation: 32 * mebibyte, swap: 80 * mebibyte },
  cpu: { shares: 512, quota: 20_000, period: 50_000, cpus: '0', mems: '0' },
  pids: { limit: 20 },
};

void describe('scopes of systemd', () => {
  const caller = new Caller({ command: ['gantry-oci', '--systemd-cgroup'] });
  const made = (path: string, resources: object, annotations = {}): { id: string; bundle: string } =>
    caller.bundle(['sleep', '1000'], (config) => {
      inScope(path, resources, annotations)(config);
    });

  void test('the container is in prefix-name.scope of its slice, with its limits in the files and with systemd, and gone after delete', () => {
    const name = 'first';
    const { id, bundle } = made(`machine.slice:guest:${name}`, limits);
    const unit = `guest-${name}.scope`;
    caller.must(['create', '--bundle', bundle, id]);
    const pid = caller.pidOf(id);
    const cgroup = cgroupOf(pid);
    assert.match(cgroup, new RegExp(`^/machine\\.slice/${unit}`));
    caller.must(['start', id]);
    const seen = [
      'memory.max',
      'memory.low',
      'memory.swap.max',
      'cpu.weight',
      'cpu.max',
      'cpuset.cpus',
      'pids.max',
    ];
    assert.deepEqual(
      seen.map((file) => readLimit(cgroup, file)),
      ['67108864', '33554432', '16777216', '59', '20000 50000', '0', '20'],
    );
    assert.equal(propertyOf(unit, 'MemoryMax'), 't 67108864');
    assert.equal(propertyOf(unit, 'MemoryLow'), 't 33554432');
    assert.equal(propertyOf(unit, 'MemorySwapMax'), 't 16777216');
    assert.equal(propertyOf(unit, 'CPUWeight'), 't 59');
    assert.equal(propertyOf(unit, 'CPUQuotaPerSecUSec'), 't 400000');
    assert.equal(propertyOf(unit, 'CPUQuotaPeriodUSec'), 't 50000');
    assert.equal(propertyOf(unit, 'TasksMax'), 't 20');
    assert.match(propertyOf(unit, 'AllowedCPUs'), /^ay \d+ 1( 0)*$/);
    assert.match(propertyOf(unit, 'AllowedMemoryNodes'), /^ay \d+ 1( 0)*$/);
    assert.equal(propertyOf(unit, 'Delegate'), 'b true');
    assert.equal(propertyOf(unit, 'Slice'), 's "machine.slice"');

    caller.must(
      ['update', '--resources', '-', id],
      JSON.stringify({
        memory: { limit: 96 * mebibyte, swap: 128 * mebibyte },
        pids: { limit: 30 },
        cpu: { quota: 30_000, period: 100_000 },
      }),
    );
    assert.equal(readLimit(cgroup, 'memory.max'), '100663296');
    assert.equal(readLimit(cgroup, 'cpu.max'), '30000 100000');
    assert.equal(propertyOf(unit, 'MemoryMax'), 't 100663296');
    assert.equal(propertyOf(unit, 'TasksMax'), 't 30');
    assert.equal(propertyOf(unit, 'CPUQuotaPerSecUSec'), 't 300000');
    // Reloading writes what systemd believes.
    units('call', ...manager, 'Reload');
    assert.equal(readLimit(cgroup, 'memory.max'), '100663296');
    assert.equal(readLimit(cgroup, 'pids.max'), '30');

    caller.must(['delete', '--force', id]);
    assert.equal(existsSync(join('/sys/fs/cgroup', cgroup)), false, 'the cgroup is left');
    assert.equal(
      existsSync(`/sys/fs/cgroup/machine.slice/${unit}`),
      false,
      'the cgroup of the scope is left',
    );
    assert.equal(pathOf(unit), undefined, 'systemd still has the unit');
  });

  void test('without a path the scope is named after the container, in system.slice; annotations are properties of it', () => {
    const { id, bundle } = made(
      '',
      {},
      {
        'org.systemd.property.TimeoutStopUSec': 'uint64 7000000',
        'org.systemd.property.CollectMode': "'inactive-or-failed'",
      },
    );
    caller.must(['run', '--detach', '--bundle', bundle, id]);
    const unit = `gantry-oci-${id}.scope`;
    assert.match(cgroupOf(caller.pidOf(id)), new RegExp(`^/system\\.slice/${unit}`));
    assert.equal(propertyOf(unit, 'TimeoutStopUSec'), 't 7000000');
    assert.equal(
      units(
        'get-property',
        manager[0] ?? '',
        pathOf(unit) ?? '',
        'org.freedesktop.systemd1.Unit',
        'CollectMode',
      ),
      's "inactive-or-failed"',
    );
    caller.must(['delete', '--force', id]);
    assert.equal(pathOf(unit), undefined);
  });

  void test('a scope whose container has ended by itself goes with delete, and its name can be used again', () => {
    for (const round of [1, 2]) {
      const { id, bundle } = caller.bundle(['true'], inScope('machine.slice:guest:again', {}));
      caller.must(['run', '--bundle', bundle, id]);
      assert.equal(pathOf('guest-again.scope'), undefined, `round ${round}`);
    }
  });

  void test('a create that fails leaves no scope; what is not a slice, or has too few parts, is refused in one sentence', () => {
    const { id, bundle } = caller.bundle(['/absent'], inScope('machine.slice:guest:failing', {}));
    const failed = caller.ask(['run', '--bundle', bundle, id]);
    assert.notEqual(failed.code, 0);
    assert.equal(pathOf('guest-failing.scope'), undefined);
    for (const path of ['/a/b', 'machine:guest:x']) {
      const wrong = caller.bundle(['true'], inScope(path, {}));
      const { code, stderr } = caller.ask(['run', '--bundle', wrong.bundle, wrong.id]);
      assert.notEqual(code, 0, path);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    }
  });

  void test('processes that outlive the first one of a container end with its scope', () => {
    const { id, bundle } = caller.bundle(['sh', '-c', 'sleep 1000 & sleep 1000'], (config) => {
      inScope('machine.slice:guest:several', {})(config);
      config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== 'pid');
    });
    caller.must(['run', '--detach', '--bundle', bundle, id]);
    process.kill(caller.pidOf(id), 'SIGKILL');
    caller.must(['delete', '--force', id]);
    assert.equal(pathOf('guest-several.scope'), undefined);
  });
});

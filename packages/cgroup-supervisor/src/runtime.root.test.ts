import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringifyLossless, type RuntimeResources } from '@gantry/oci';
import { restrictDevices } from './device-access.js';
import { checkDeviceRules } from './device-rules.js';
import { findHierarchies } from './main.js';
import { expectSoon, needsRoot } from './keeper-fixture.js';
import { nativeCgroup } from './native.js';
import {
  cgroupHandles,
  cgroupPids,
  cgroupStats,
  createCgroup,
  deleteCgroup,
  freezeCgroup,
  isFrozen,
  signalCgroup,
  subCgroup,
  thawCgroup,
  updateCgroup,
  watchOom,
  type RuntimeCgroup,
} from './runtime.js';

const mebibyte = 1024 * 1024;

test('the entrance for a runtime loads nothing of the service', () => {
  const seen = spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { registerHooks } from 'node:module';
       registerHooks({ resolve: (name, context, next) => { console.log(name); return next(name, context); } });
       await import(process.argv[1]);`,
      fileURLToPath(new URL('./runtime.js', import.meta.url)),
    ],
    { encoding: 'utf8' },
  );
  assert.equal(seen.status, 0, seen.stderr);
  assert.match(seen.stdout, /runtime-create\.js/);
  assert.doesNotMatch(seen.stdout, /@gantry\/(bus|protocol)|pino|prom-client|nats/);
});

describe('cgroups for a runtime', { skip: needsRoot }, () => {
  let parent: string;
  let children: ChildProcess[];
  let cgroups: RuntimeCgroup[];

  beforeEach(() => {
    parent = `/gantry-test-runtime-${process.pid}-${randomBytes(4).toString('hex')}`;
    children = [];
    cgroups = [];
  });
  afterEach(async () => {
    for (const cgroup of cgroups.reverse()) await deleteCgroup(cgroup, 5000);
    for (const child of children) child.kill('SIGKILL');
    for (const { mountPoint } of findHierarchies('/sys/fs/cgroup').all)
      assert.equal(existsSync(join(mountPoint, parent)), false, `${mountPoint}${parent} is left`);
  });

  async function create(
    resources?: RuntimeResources,
    path = `${parent}/box`,
    joinExisting = false,
  ): Promise<RuntimeCgroup> {
    const cgroup = await createCgroup({
      id: 'box',
      cgroupsPath: path,
      manager: 'cgroupfs',
      resources,
      annotations: {},
      rootless: false,
      joinExisting,
    });
    cgroups.push(cgroup);
    return cgroup;
  }

  async function run(cgroup: RuntimeCgroup, script: string): Promise<ChildProcess> {
    const child = spawn('sh', ['-c', `read go; ${script}`], { stdio: ['pipe', 'pipe', 'pipe'] });
    children.push(child);
    await once(child, 'spawn');
    for (const { path } of cgroup.directories) writeFileSync(join(path, 'cgroup.procs'), String(child.pid));
    child.stdin.write('go\n');
    return child;
  }

  /** The text of a container's file, in whichever hierarchy it is. */
  function file(cgroup: RuntimeCgroup, name: string): string {
    const found = cgroup.directories.map(({ path }) => join(path, name)).find((path) => existsSync(path));
    assert.ok(found, `no ${name}`);
    return readFileSync(found, 'utf8').trim();
  }

  const hasV1Memory = findHierarchies('/sys/fs/cgroup').all.some(
    ({ kind, controllers }) => kind === 'v1' && controllers.includes('memory'),
  );

  test('there is one directory in every hierarchy, with a handle, and none afterwards', async () => {
    const cgroup = await create();
    const { all } = findHierarchies('/sys/fs/cgroup');
    assert.deepEqual(
      cgroup.directories.map(({ path }) => path).sort(),
      all.map(({ mountPoint }) => `${mountPoint}${parent}/box`).sort(),
    );
    assert.equal(cgroupHandles(cgroup).length, all.length);
    await deleteCgroup(cgroup, 2000);
    await deleteCgroup(cgroup, 2000);
    assert.deepEqual(cgroupPids(cgroup), []);
  });

  test('limits are in force, an update changes what it names, and a refused one nothing', async () => {
    const cgroup = await create({
      memory: { limit: 64 * mebibyte, swap: 96 * mebibyte },
      cpu: { quota: 50_000, period: 100_000, shares: 512 },
      pids: { limit: 20 },
    });
    const limit = hasV1Memory ? 'memory.limit_in_bytes' : 'memory.max';
    assert.equal(file(cgroup, limit), String(64 * mebibyte));
    assert.equal(file(cgroup, 'pids.max'), '20');
    updateCgroup(cgroup, { pids: { limit: 30 }, cpu: { quota: 20_000 } });
    assert.equal(file(cgroup, 'pids.max'), '30');
    assert.equal(file(cgroup, limit), String(64 * mebibyte));
    assert.throws(
      () => updateCgroup(cgroup, { cpu: { quota: 30_000 }, pids: { limit: 2n ** 62n } }),
      /^Error: pids\.limit of the container cannot be set to 4611686018427387904/,
    );
    assert.equal(file(cgroup, 'pids.max'), '30');
    assert.match(file(cgroup, hasV1Memory ? 'cpu.cfs_quota_us' : 'cpu.max'), /^20000/);
  });

  test('period and quota change together in either direction below a parent with a limit of its own', async () => {
    const outer = await create({ cpu: { quota: 50_000, period: 100_000 } }, `${parent}/outer`);
    const inner = await create({ cpu: { quota: 50_000, period: 100_000 } }, `${parent}/outer/inner`);
    for (const [quota, period] of [
      [25_000, 50_000],
      [100_000, 200_000],
    ] as const) {
      updateCgroup(inner, { cpu: { quota, period } });
      assert.match(file(inner, hasV1Memory ? 'cpu.cfs_quota_us' : 'cpu.max'), new RegExp(`^${quota}`));
    }
    assert.ok(outer.made.length > 0);
  });

  test('a limit that cannot be is refused by name and leaves nothing', async () => {
    await assert.rejects(
      create({ hugepageLimits: [{ pageSize: '3MB', limit: 1 }] }),
      /hugepageLimits\[3MB\]/,
    );
    await assert.rejects(create({ unified: { 'nothing.max': '1' } }), /unified\["nothing\.max"\]/);
    await assert.rejects(create({ devices: [{ allow: true, type: 'q' }] }), /linux\.resources\.devices\[0\]/);
    await assert.rejects(
      createCgroup({
        id: 'x',
        cgroupsPath: '',
        manager: 'disabled',
        resources: { pids: { limit: 4 } },
        annotations: {},
        rootless: false,
      }),
      /pids\.limit cannot be enforced: cgroups are disabled/,
    );
  });

  test('a cgroup that is there is joined and kept, one in use is refused', async () => {
    const outer = await create(undefined, `${parent}/pod`);
    const again = await create({ pids: { limit: 9 } }, `${parent}/pod`);
    assert.deepEqual(again.made, []);
    assert.equal(file(again, 'pids.max'), '9');
    await deleteCgroup(again, 1000);
    assert.ok(outer.directories.every(({ path }) => existsSync(path)));
    await run(outer, 'exec sleep 1000');
    await assert.rejects(create(undefined, `${parent}/pod`), /container's cgroup is not empty: 1 process/);
    assert.deepEqual((await create(undefined, `${parent}/pod`, true)).made, []);
  });

  test('a parent that holds another container stays until that one is gone', async () => {
    const first = await create(undefined, `${parent}/pod/a`);
    const second = await create(undefined, `${parent}/pod/b`);
    await deleteCgroup(first, 1000);
    assert.ok(second.directories.every(({ path }) => existsSync(path)));
    // Whoever made the parent could not remove it; the test does.
    cgroups.push({ ...first, directories: [] });
  });

  test('a container freezes, thaws, is listed, signalled and killed', async () => {
    const cgroup = await create();
    const child = await run(cgroup, 'trap "exit 7" TERM; sleep 1000 & wait');
    await expectSoon('both run', () => cgroupPids(cgroup).length === 2);
    assert.equal(isFrozen(cgroup), false);
    await freezeCgroup(cgroup);
    assert.equal(isFrozen(cgroup), true);
    await thawCgroup(cgroup);
    assert.equal(isFrozen(cgroup), false);
    const ended = once(child, 'exit');
    assert.equal(signalCgroup(cgroup, 15), 2);
    assert.deepEqual(await ended, [7, null]);
    await run(cgroup, 'sleep 1000 & sleep 1000 & wait');
    await expectSoon('all run', () => cgroupPids(cgroup).length === 3);
    await freezeCgroup(cgroup);
    assert.equal(signalCgroup(cgroup, 9), 3);
    await expectSoon('none is left', () => cgroupPids(cgroup).length === 0);
  });

  test('deleting kills what is inside, frozen and in cgroups of its own', async () => {
    const cgroup = await create();
    const primary = cgroup.directories.find(({ kind }) => kind === 'v2') ?? cgroup.directories[0];
    assert.ok(primary);
    mkdirSync(join(primary.path, 'inner'));
    const child = await run(cgroup, 'exec sleep 1000');
    writeFileSync(join(primary.path, 'inner/cgroup.procs'), String(child.pid));
    const inside = subCgroup(cgroup, [`${primary.hierarchy}:inner`]);
    assert.ok(inside.directories.some(({ path }) => path === join(primary.path, 'inner')));
    assert.throws(() => subCgroup(cgroup, ['../../x']), /is not below the container's own/);
    assert.throws(() => subCgroup(cgroup, [`${primary.hierarchy}:none`]), /none does not exist/);
    await freezeCgroup(cgroup);
    await deleteCgroup(cgroup, 5000);
    assert.ok(cgroup.directories.every(({ path }) => !existsSync(path)));
  });

  test('only devices of the rules can be opened, and an update opens more', async () => {
    const cgroup = await create();
    const probe = '(: < /dev/null) && echo null; (: < /dev/kmsg) 2>/dev/null && echo kmsg; :';
    const output = async (): Promise<string> => {
      const child = await run(cgroup, probe);
      const text = child.stdout?.setEncoding('utf8').toArray();
      return (await text)?.join('') ?? '';
    };
    assert.equal(await output(), 'null\n');
    const usual = { allow: true, type: 'c', major: 1, minor: 3 };
    updateCgroup(cgroup, { devices: [usual, { allow: true, type: 'c', major: 1, minor: 11, access: 'r' }] });
    assert.equal(await output(), 'null\nkmsg\n');
  });

  test('stats are in runc form, and no number is lost', async () => {
    const cgroup = await create({ pids: { limit: 20 } });
    await run(cgroup, 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec sleep 1000');
    await expectSoon('CPU time', () => {
      const { cpu } = cgroupStats(cgroup) as { cpu: { usage: { total: number } } };
      return cpu.usage.total > 1e6;
    });
    const stats = cgroupStats(cgroup) as Record<string, Record<string, unknown>>;
    assert.deepEqual(stats['pids'], { current: 1, limit: 20 });
    assert.ok(Number((stats['memory']?.['usage'] as Record<string, number>)['usage']) > 0);
    assert.match(stringifyLossless(stats), /"limit":(9223372036854771712|18446744073709551615)/);
    assert.ok(Array.isArray(stats['cpuset']?.['cpus']));
  });

  test('each kill for want of memory is told, and the end of the cgroup ends the watch', async () => {
    const cgroup = await create({ memory: { limit: 16 * mebibyte, swap: 16 * mebibyte } });
    let told = 0;
    const watching = watchOom(cgroup, () => told++, new AbortController().signal);
    await run(cgroup, 'exec dd if=/dev/zero of=/dev/null bs=60M count=1');
    await expectSoon('an OOM kill', () => told === 1);
    await deleteCgroup(cgroup, 2000);
    await watching;
    assert.equal(told, 1);
  });

  test('without systemd its cgroups are refused in runc words', async () => {
    if (existsSync('/run/systemd/system')) return;
    const wish = {
      id: 'x',
      cgroupsPath: 'a.slice:b:c',
      resources: undefined,
      annotations: {},
      rootless: false,
    };
    await assert.rejects(
      createCgroup({ ...wish, manager: 'systemd' }),
      /^Error: systemd not running on this host, cannot use systemd cgroups manager$/,
    );
  });

  test('the program for v2 devices counts the last rule for each access, and is replaced in one step', async (t) => {
    const { unified } = findHierarchies('/sys/fs/cgroup');
    if (unified === undefined) return t.skip('this machine cannot: it has no unified hierarchy');
    if (!nativeCgroup().canRestrictDevices())
      return t.skip('this machine cannot: its kernel takes no device programs');
    const directory = join(unified.mountPoint, `${parent.slice(1)}-devices`);
    mkdirSync(directory);
    try {
      const restrict = (values: readonly unknown[]): void => {
        const read = checkDeviceRules(values, 'devices');
        assert.ok('rules' in read);
        restrictDevices([{ hierarchy: { ...unified, controllers: [] }, directory }], read.rules);
      };
      const script = `echo $$ > ${directory}/cgroup.procs; for m in r w; do
        if [ $m = r ]; then (: < /dev/full) 2>&- && echo $m; else (: > /dev/full) 2>&- && echo $m; fi; done; :`;
      const opened = (): string => spawnSync('sh', ['-c', script], { encoding: 'utf8' }).stdout;
      const full = { type: 'c', major: 1, minor: 7 };
      restrict([{ allow: false }]);
      assert.equal(opened(), '');
      restrict([
        { allow: false },
        { ...full, allow: true, access: 'rw' },
        { ...full, allow: false, access: 'w' },
      ]);
      assert.equal(opened(), 'r\n');
      restrict([{ allow: true }, { type: 'c', major: 1, allow: false, access: 'r' }]);
      assert.equal(opened(), 'w\n');
      restrict([{ allow: false }, { allow: true }]);
      assert.equal(opened(), 'r\nw\n');
    } finally {
      rmdirSync(directory);
    }
    return undefined;
  });
});

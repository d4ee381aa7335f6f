import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmdirSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isGantryError } from '@gantry/protocol';
import {
  expectSoon,
  needsRoot,
  newContainerId,
  startFixture,
  withoutUnified,
  type Fixture,
} from './keeper-fixture.js';
import { sharesFromWeight, weightFromShares } from './cpu-weight.js';
import { homeOf } from './hierarchies.js';
import { containersDirectory, levelsBelow, rootDirectory } from './layout.js';
import { childNames, isDirectory } from './directories.js';
import { findHierarchies } from './main.js';

const mebibyte = 1024 * 1024;

/** Allocates this much and tells when it has it. */
function hog(megabytes: number): string {
  // Not a pipe between two processes: one could hold the pipe while the kernel wants the other's memory.
  return `dd if=/dev/zero of=/dev/null bs=${megabytes}M count=1 2>/dev/null; echo done; sleep 1000`;
}

describe('on the hierarchies of this machine', { skip: needsRoot }, () => {
  let fixture: Fixture;
  beforeEach(() => {
    fixture = startFixture();
  });
  afterEach(() => fixture.end());

  test('a container over its memory limit is killed and reported, and its neighbour lives', async () => {
    const [greedy, modest] = await Promise.all([
      fixture.create({ memoryLimitBytes: 32 * mebibyte }),
      fixture.create({ memoryLimitBytes: 32 * mebibyte }),
    ]);
    const neighbour = await fixture.run(modest, 'sleep 1000');
    await fixture.run(greedy, hog(100));
    await expectSoon('an OOM event', () => fixture.ooms.length > 0);
    assert.equal(fixture.ooms[0]?.containerId, greedy);
    await expectSoon(
      'all kills are told',
      () => fixture.ooms.at(-1)?.count === fixture.keeper.usage(greedy).oomKillCount,
    );
    assert.equal(fixture.keeper.usage(modest).oomKillCount, 0);
    assert.equal(neighbour.exitCode, null);
    const { memoryPeakBytes, memoryLimitBytes } = fixture.keeper.usage(greedy);
    assert.equal(memoryLimitBytes, 32 * mebibyte);
    assert.ok(memoryPeakBytes <= 32 * mebibyte, `peak ${memoryPeakBytes}`);
  });

  test('OOM kills are seen after a restart too, and old ones are not told again', async () => {
    const id = await fixture.create({ memoryLimitBytes: 16 * mebibyte }, 'kept');
    const first = await fixture.run(id, hog(50));
    await expectSoon('the first OOM event', () => fixture.ooms.length > 0);
    await once(first.stdout ?? first, 'data');
    fixture.restart();
    assert.equal(fixture.keeper.record(id)?.name, 'kept');
    const seenBefore = fixture.ooms.length;
    const killedBefore = fixture.keeper.usage(id).oomKillCount;
    await fixture.run(id, hog(50));
    await expectSoon('the second OOM event', () => fixture.ooms.length > seenBefore);
    assert.ok((fixture.ooms[seenBefore]?.count ?? 0) > killedBefore);
  });

  test('a fork storm stays at the limit of tasks, and destroying it leaves nothing', async () => {
    const id = await fixture.create({ pidsLimit: 20 });
    await fixture.run(id, 'while :; do sleep 1000 & done 2>/dev/null');
    await expectSoon('the limit is reached', () => fixture.keeper.usage(id).pidsCurrent >= 19);
    assert.equal(fixture.keeper.usage(id).pidsLimit, 20);
    const killed = await fixture.keeper.destroy(id, { atMs: performance.now() + 5000, signal: undefined });
    assert.ok(killed >= 10, `killed ${killed}`);
    assert.deepEqual(fixture.keeper.list(), []);
    for (const { directory } of fixture.tree.places(id))
      assert.equal(isDirectory(directory), false, directory);
  });

  test('a quota of half a CPU gives half a CPU within 10 percent', async () => {
    // The largest share at each level, so that a busy machine lets it use up its quota.
    const home = homeOf(fixture.tree.hierarchies, 'cpu');
    assert.ok(home);
    for (const level of levelsBelow(home.mountPoint, containersDirectory(fixture.tree.layout, home)))
      writeFileSync(
        join(level, home.kind === 'v1' ? 'cpu.shares' : 'cpu.weight'),
        home.kind === 'v1' ? '262144' : '10000',
      );
    const id = await fixture.create({ cpuQuotaUs: 50_000, cpuPeriodUs: 100_000, cpuShares: 262_144 });
    await fixture.run(id, 'while :; do :; done & while :; do :; done');
    await sleep(300);
    const shares: number[] = [];
    // Never more than the quota; as much only when the machine has the time to give: one window out of some is enough.
    while (shares.length < 6 && !shares.some((share) => share > 0.9)) {
      const before = fixture.keeper.usage(id);
      const started = performance.now();
      await sleep(1500);
      const after = fixture.keeper.usage(id);
      shares.push((after.cpuUsageNs - before.cpuUsageNs) / ((performance.now() - started) * 1e6 * 0.5));
      assert.ok(after.cpuPeriods > before.cpuPeriods);
    }
    assert.ok(
      Math.max(...shares) > 0.9 && Math.max(...shares) < 1.1,
      `parts of the quota used: ${shares.join(' ')}`,
    );
    const after = fixture.keeper.usage(id);
    assert.ok(after.cpuThrottledPeriods > 0);
    const splitNs = after.cpuUserNs + after.cpuSystemNs;
    assert.ok(
      Math.abs(splitNs - after.cpuUsageNs) < 100e6,
      `user and system ${splitNs} of ${after.cpuUsageNs} ns`,
    );
    assert.equal(after.cpuQuotaUs, 50_000);
  });

  test('a frozen container uses no CPU, and thaws', async () => {
    const id = await fixture.create({});
    await fixture.run(id, 'while :; do :; done');
    await fixture.keeper.setFrozen(id, true, { atMs: performance.now() + 2000, signal: undefined });
    const frozen = fixture.keeper.usage(id);
    await sleep(200);
    const later = fixture.keeper.usage(id);
    assert.equal(later.frozen, true);
    assert.ok(later.cpuUsageNs - frozen.cpuUsageNs < 2e6);
    await fixture.keeper.setFrozen(id, false, { atMs: performance.now() + 2000, signal: undefined });
    await expectSoon('it runs again', () => fixture.keeper.usage(id).cpuUsageNs - later.cpuUsageNs > 50e6);
    assert.equal(fixture.keeper.usage(id).frozen, false);
  });

  test('killing a container ends every process, a frozen one too', async () => {
    const id = await fixture.create({});
    const child = await fixture.run(id, 'sleep 1000 & sleep 1000 & wait');
    await expectSoon('both run', () => fixture.keeper.processes(id).length === 3);
    await fixture.keeper.setFrozen(id, true, { atMs: performance.now() + 2000, signal: undefined });
    assert.ok(fixture.keeper.processes(id).includes(child.pid ?? 0));
    const ended = once(child, 'exit');
    const killed = await fixture.keeper.kill(id, { atMs: performance.now() + 2000, signal: undefined });
    assert.equal(killed, 3);
    assert.deepEqual(await ended, [null, 'SIGKILL']);
    assert.deepEqual(fixture.keeper.processes(id), []);
  });

  test('an update that the kernel refuses in the middle changes nothing', async () => {
    const limits = { memoryLimitBytes: 200 * mebibyte, pidsLimit: 50, cpuShares: 512, cpuQuotaUs: 30_000 };
    const id = await fixture.create(limits);
    const child = await fixture.run(id, `dd if=/dev/zero of=/dev/null bs=60M count=100000 2>/dev/null`);
    await expectSoon('memory is in use', () => fixture.keeper.usage(id).memoryRssBytes > 50 * mebibyte);
    const before = { ...fixture.keeper.usage(id) };
    await assert.rejects(
      fixture.keeper.update({
        containerId: id,
        resources: { memoryLimitBytes: 10 * mebibyte, cpuShares: 99, pidsLimit: 5 },
        name: '',
      }),
      (error) => isGantryError(error, 'failed_precondition') && error.message.includes('10485760'),
    );
    const after = fixture.keeper.usage(id);
    for (const key of ['memoryLimitBytes', 'pidsLimit', 'cpuShares', 'cpuQuotaUs'] as const)
      assert.equal(after[key], before[key]);
    assert.equal(child.exitCode, null);
  });

  test('an update sets the whole new set of limits, up and down, and back to none', async () => {
    const id = await fixture.create({ memoryLimitBytes: 32 * mebibyte, pidsLimit: 10 });
    const update = (resources: object): Promise<void> =>
      fixture.keeper.update({ containerId: id, resources, name: 'new' });
    /** v2 keeps a weight, which is coarser. */
    const heldShares = (shares: number): number =>
      homeOf(fixture.tree.hierarchies, 'cpu')?.kind === 'v1'
        ? shares
        : sharesFromWeight(weightFromShares(shares));
    await update({ memoryLimitBytes: 128 * mebibyte, cpuShares: 2048, cpusetCpus: '0' });
    let usage = fixture.keeper.usage(id);
    assert.deepEqual(
      [usage.memoryLimitBytes, usage.pidsLimit, usage.cpuShares],
      [128 * mebibyte, 0, heldShares(2048)],
    );
    await update({ memoryLimitBytes: 16 * mebibyte });
    assert.equal(fixture.keeper.usage(id).memoryLimitBytes, 16 * mebibyte);
    await update({});
    usage = fixture.keeper.usage(id);
    assert.deepEqual(
      [usage.memoryLimitBytes, usage.pidsLimit, usage.cpuShares, usage.cpuQuotaUs],
      [0, 0, 1024, 0],
    );
    assert.equal(fixture.keeper.record(id)?.name, 'new');
  });

  test('creating twice gives the same cgroup, and a refused creation leaves nothing', async () => {
    const wish = {
      containerId: newContainerId(),
      resources: { pidsLimit: 7 },
      name: 'a',
      image: 'b',
      devicesJson: new Uint8Array(),
    };
    const first = await fixture.keeper.create(wish);
    assert.deepEqual(await fixture.keeper.create(wish), first);
    const bad = { ...wish, containerId: newContainerId(), resources: { pidsLimit: 1e12 } };
    await assert.rejects(
      fixture.keeper.create(bad),
      /pids_limit .* cannot be set to 1000000000000: the kernel does not take this value/,
    );
    await assert.rejects(
      fixture.keeper.create({ ...wish, containerId: newContainerId(), resources: { cpusetCpus: '0-999' } }),
      /cpuset_cpus "0-999"/,
    );
    assert.deepEqual(fixture.keeper.list(), [wish.containerId]);
    for (const { directory } of fixture.tree.places(bad.containerId))
      assert.equal(isDirectory(directory), false);
  });

  test('a cgroup that a crash left half-made is completed by the next creation, or destroyed', async () => {
    const [kept, dropped] = [newContainerId(), newContainerId()];
    for (const id of [kept, dropped])
      for (const { directory } of fixture.tree.places(id).slice(0, 4)) mkdirSync(directory);
    fixture.restart();
    assert.deepEqual(fixture.keeper.list(), [kept, dropped].sort());
    await fixture.keeper.create({
      containerId: kept,
      resources: { pidsLimit: 9 },
      name: '',
      image: '',
      devicesJson: new Uint8Array(),
    });
    assert.equal(fixture.keeper.usage(kept).pidsLimit, 9);
    const child = await fixture.run(kept, 'exec sleep 1000');
    assert.deepEqual(fixture.keeper.processes(kept), [child.pid]);
    await fixture.keeper.destroy(dropped, { atMs: performance.now() + 2000, signal: undefined });
    assert.deepEqual(fixture.keeper.list(), [kept]);
  });

  test("the node's own cgroups are made again when somebody removed them", async () => {
    for (const { directory } of fixture.tree.shimPlaces()) rmdirSync(directory);
    const id = await fixture.create({});
    for (const { directory } of fixture.tree.shimPlaces()) assert.ok(isDirectory(directory));
    assert.deepEqual(fixture.keeper.list(), [id]);
  });

  test("100 containers come and go and leave nothing, the node's own cgroups included", async () => {
    const ids = await Promise.all(
      Array.from({ length: 100 }, () => fixture.create({ memoryLimitBytes: 8 * mebibyte, pidsLimit: 10 })),
    );
    assert.equal(fixture.keeper.list().length, 100);
    assert.equal(fixture.keeper.watchedCount, 100);
    assert.throws(() => fixture.keeper.tearDown(), /in use/);
    await Promise.all(
      ids.map((id) => fixture.keeper.destroy(id, { atMs: performance.now() + 5000, signal: undefined })),
    );
    assert.deepEqual(fixture.keeper.list(), []);
    assert.equal(fixture.keeper.watchedCount, 0);
    fixture.keeper.tearDown();
    for (const hierarchy of fixture.tree.hierarchies.all)
      assert.equal(isDirectory(rootDirectory(fixture.tree.layout, hierarchy)), false);
  });

  test('devices outside the list cannot be opened, those inside can', async () => {
    const id = await fixture.create({});
    const child = await fixture.run(
      id,
      'cat /dev/kmsg >/dev/null 2>&1 & head -c 1 /dev/zero >/dev/null && (: < /dev/null) && (: < /dev/loop-control) 2>/dev/null; echo $?',
    );
    const [output] = (await once(child.stdout ?? child, 'data')) as [Buffer];
    assert.notEqual(output.toString().trim(), '0');
    const devices = fixture.tree.placeOf('devices', id);
    if (devices !== undefined) assert.match(readFileSync(join(devices, 'devices.list'), 'utf8'), /c 1:3 rwm/);
  });
});

describe('on v1 hierarchies alone', { skip: needsRoot }, () => {
  const isV1 = homeOf(findHierarchies('/sys/fs/cgroup'), 'memory')?.kind === 'v1';
  const skip = !isV1 && 'this machine cannot: its memory controller is v2';
  let fixture: Fixture;
  beforeEach(() => {
    fixture = startFixture(isV1 ? withoutUnified : undefined);
  });
  afterEach(() => fixture.end());

  test('the freezer freezes, and a fork storm dies with its container', { skip }, async () => {
    const id = await fixture.create({ pidsLimit: 40 });
    await fixture.run(id, 'while :; do (while :; do :; done) & done 2>/dev/null');
    await expectSoon('the storm is at its limit', () => fixture.keeper.usage(id).pidsCurrent >= 39);
    await fixture.keeper.setFrozen(id, true, { atMs: performance.now() + 5000, signal: undefined });
    assert.equal(fixture.keeper.usage(id).frozen, true);
    await fixture.keeper.destroy(id, { atMs: performance.now() + 8000, signal: undefined });
    assert.deepEqual(fixture.keeper.list(), []);
    for (const hierarchy of fixture.tree.hierarchies.all)
      assert.deepEqual(childNames(rootDirectory(fixture.tree.layout, hierarchy)), ['shims']);
  });

  test('OOM kills are seen', { skip }, async () => {
    const id = await fixture.create({ memoryLimitBytes: 16 * mebibyte });
    await fixture.run(id, hog(50));
    await expectSoon('an OOM event', () => fixture.ooms.length > 0);
    assert.equal(fixture.ooms[0]?.containerId, id);
  });
});

describe('where memory is a v1 hierarchy', { skip: needsRoot }, () => {
  const found = findHierarchies('/sys/fs/cgroup');
  const skip = homeOf(found, 'memory')?.kind !== 'v1' && 'this machine cannot: its memory controller is v2';

  test(
    'with the OOM killer off a container stands still at its limit, and can be destroyed',
    { skip },
    async () => {
      const fixture = startFixture();
      try {
        const id = await fixture.create({ memoryLimitBytes: 16 * mebibyte, oomKillDisable: true });
        await fixture.run(id, hog(50));
        await expectSoon('it is at its limit', () => fixture.keeper.usage(id).memoryFailcnt > 0);
        await sleep(100);
        assert.equal(fixture.keeper.usage(id).oomKillCount, 0);
        assert.equal(fixture.ooms.length, 0);
        await fixture.keeper.destroy(id, { atMs: performance.now() + 5000, signal: undefined });
        assert.deepEqual(fixture.keeper.list(), []);
      } finally {
        await fixture.end();
      }
    },
  );
});

describe('on the unified hierarchy alone', { skip: needsRoot }, () => {
  const { unified } = findHierarchies('/sys/fs/cgroup');
  const skip = unified === undefined && 'this machine cannot: it has no unified hierarchy';
  let fixture: Fixture;
  beforeEach(() => {
    if (unified !== undefined) fixture = startFixture(() => ({ version: 2, all: [unified], unified }));
  });
  afterEach(() => fixture.end());

  test(
    'one directory is all that a process joins; it freezes, thaws and is destroyed',
    { skip },
    async () => {
      const id = await fixture.create({});
      const child = await fixture.run(id, 'sleep 1000 & sleep 1000 & wait');
      await expectSoon('all run', () => fixture.keeper.processes(id).length === 3);
      assert.deepEqual(
        fixture.tree.places(id).map(({ directory }) => directory.endsWith(`/containers/${id}`)),
        [true],
      );
      await fixture.keeper.setFrozen(id, true, { atMs: performance.now() + 2000, signal: undefined });
      assert.equal(fixture.keeper.usage(id).frozen, true);
      await fixture.keeper.setFrozen(id, false, { atMs: performance.now() + 2000, signal: undefined });
      const ended = once(child, 'exit');
      assert.equal(
        await fixture.keeper.destroy(id, { atMs: performance.now() + 2000, signal: undefined }),
        3,
      );
      assert.deepEqual(await ended, [null, 'SIGKILL']);
    },
  );

  test('cgroups that the container made itself go with it', { skip }, async () => {
    const id = await fixture.create({});
    const { directory } = fixture.tree.primaryPlace(id);
    mkdirSync(join(directory, 'inner/most'), { recursive: true });
    const child = await fixture.run(id, 'exec sleep 1000');
    writeFileSync(join(directory, 'inner/most/cgroup.procs'), String(child.pid));
    assert.deepEqual(fixture.keeper.processes(id), [child.pid]);
    await fixture.keeper.destroy(id, { atMs: performance.now() + 2000, signal: undefined });
    assert.equal(isDirectory(directory), false);
  });

  test(
    'the kernel tells of changes in cgroupfs by inotify, as memory.events needs it',
    { skip },
    async () => {
      const id = await fixture.create({});
      let told = 0;
      const watcher = watch(join(fixture.tree.primaryPlace(id).directory, 'cgroup.events'), () => told++);
      try {
        await fixture.run(id, 'sleep 1000');
        await expectSoon('a notification', () => told > 0);
      } finally {
        watcher.close();
      }
    },
  );
});

import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startService, type Bus, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import { cgroup, isGantryError } from '@gantry/protocol';
import type { CgroupSupervisorConfig } from './config.js';
import { childNames, isDirectory } from './directories.js';
import { expectSoon, needsRoot, newContainerId } from './keeper-fixture.js';
import { findHierarchies, startCgroupSupervisor } from './main.js';

const { methods } = cgroup.CgroupSupervisor;
const mebibyte = 1024 * 1024;

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

describe('the service on the bus', { skip: needsRoot }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-cgroup-service-'));
  const config: CgroupSupervisorConfig = {
    state_dir: join(directory, 'state'),
    run_dir: join(directory, 'run'),
    cgroup_root: `gantry-test-cgroup-service-${process.pid}/node`,
    mount_root: '/sys/fs/cgroup',
  };
  let nats: ChildProcess;
  let environment: ServiceEnvironment;
  let service: RunningService;
  let caller: RunningService;
  let bus: Bus;

  before(async () => {
    const port = await freePort();
    nats = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
    environment = {
      nodeId: 'node1',
      version: '0.0.0',
      natsUrl: `nats://127.0.0.1:${port}`,
      nkeySeed: '',
      metricsHost: '127.0.0.1',
      metricsPort: 0,
      logLevel: 'silent',
    };
    service = await startCgroupSupervisor(environment, config);
    caller = await startService({
      name: 'node-agent',
      environment,
      start: async (kit) => {
        bus = kit.bus;
        return { handlers: {} };
      },
    });
  });

  after(async () => {
    const { cgroups } = await listing();
    for (const containerId of cgroups) await bus.call(methods.DestroyCgroup, { containerId });
    await bus.call(methods.TearDown, {}).catch(() => undefined);
    await Promise.all([service.stop(), caller.stop()]);
    nats.kill();
    await once(nats, 'exit');
    rmSync(directory, { recursive: true, force: true });
    const outer = config.cgroup_root.split('/')[0] ?? '';
    for (const { mountPoint } of findHierarchies('/sys/fs/cgroup').all)
      removeIfEmpty(join(mountPoint, outer));
  });

  async function listing(): Promise<{ cgroups: readonly string[] }> {
    return { cgroups: (await bus.call(methods.ListCgroups, { pageSize: 1000 })).containerIds };
  }

  test('a cgroup is made, described by handles, listed, and destroyed', async () => {
    const containerId = newContainerId();
    const { cgroup: made } = await bus.call(methods.CreateCgroup, {
      containerId,
      resources: { memoryLimitBytes: 64 * mebibyte, pidsLimit: 10 },
      name: 'web',
      image: 'busybox',
    });
    for (const { directory: handle } of made?.paths ?? []) {
      const { dev, ino } = statSync(handle?.path ?? '');
      assert.deepEqual([handle?.device, handle?.inode], [dev, ino]);
    }
    assert.equal(made?.paths.length, findHierarchies('/sys/fs/cgroup').all.length);
    assert.deepEqual((await listing()).cgroups, [containerId]);
    const { usage } = await bus.call(methods.GetUsage, { containerId });
    assert.deepEqual([usage?.memoryLimitBytes, usage?.pidsLimit], [64 * mebibyte, 10]);
    await bus.call(methods.DestroyCgroup, { containerId });
    await bus.call(methods.DestroyCgroup, { containerId });
    assert.deepEqual((await listing()).cgroups, []);
  });

  test('bad requests are answered with a code and a sentence, and make nothing', async () => {
    const containerId = newContainerId();
    const create = (init: object): Promise<unknown> =>
      bus.call(methods.CreateCgroup, { containerId, ...init });
    await assert.rejects(create({ resources: { memoryLimitBytes: 1000 } }), (error) => {
      assert.ok(isGantryError(error, 'invalid_argument'));
      assert.match(error.message, /^memory_limit_bytes 1000 is not allowed/);
      return true;
    });
    await assert.rejects(create({ containerId: '../../etc' }), (error) =>
      isGantryError(error, 'invalid_argument'),
    );
    for (const method of [methods.GetUsage, methods.FreezeCgroup, methods.ListProcesses])
      await assert.rejects(bus.call<object, object>(method, { containerId }), (error) =>
        isGantryError(error, 'not_found'),
      );
    assert.equal((await bus.call(methods.KillCgroup, { containerId })).killedCount, 0);
    assert.deepEqual((await listing()).cgroups, []);
  });

  test('lists come in pages', async () => {
    const ids = Array.from({ length: 7 }, newContainerId).sort();
    for (const containerId of ids) await bus.call(methods.CreateCgroup, { containerId });
    const seen: string[] = [];
    for (let pageToken = ''; ;) {
      const { usages, nextPageToken } = await bus.call(methods.ListUsage, { pageSize: 3, pageToken });
      seen.push(...usages.map((usage) => usage.containerId));
      if (nextPageToken === '') break;
      pageToken = nextPageToken;
    }
    assert.deepEqual(seen, ids);
    for (const containerId of ids) await bus.call(methods.DestroyCgroup, { containerId });
  });

  test('shims have a cgroup in every hierarchy, and what is missing is told in sentences', async () => {
    const info = await bus.call(methods.GetCgroupInfo, {});
    assert.equal(info.root, config.cgroup_root);
    for (const { directory: handle } of info.shimPaths) assert.ok(isDirectory(handle?.path ?? ''));
    assert.equal(info.shimPaths.length, findHierarchies('/sys/fs/cgroup').all.length);
    for (const sentence of info.missing) assert.match(sentence, / /);
  });

  test('an OOM kill is an event on the bus, is counted, and survives a restart of the service in the metrics', async () => {
    const containerId = newContainerId();
    const events: cgroup.OomEvent[] = [];
    const unsubscribe = bus.subscribeEvents(
      'cgroup-oom',
      cgroup.OomEventCodec,
      (event) => void events.push(event),
    );
    const { cgroup: made } = await bus.call(methods.CreateCgroup, {
      containerId,
      resources: { memoryLimitBytes: 16 * mebibyte },
      name: 'greedy',
      image: 'busybox:1',
    });
    const child = spawn('sh', ['-c', 'read go; dd if=/dev/zero of=/dev/null bs=50M count=1 2>/dev/null'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    for (const { directory: handle } of made?.paths ?? [])
      writeFileSync(join(handle?.path ?? '', 'cgroup.procs'), String(child.pid));
    child.stdin.end('go\n');
    await expectSoon('the event', () => events.length > 0);
    assert.equal(events[0]?.containerId, containerId);
    await service.stop();
    service = await startCgroupSupervisor(environment, config);
    const metrics = await (await fetch(`${service.metricsUrl}/metrics`)).text();
    assert.match(
      metrics,
      new RegExp(
        `container_oom_events_total\\{id="[^"]*${containerId}",name="greedy",image="busybox:1"\\} [12]\n`,
      ),
    );
    assert.match(metrics, /gantry_cgroup_supervisor_cgroups 1\n/);
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: metrics, encoding: 'utf8' });
    assert.equal(checked.stdout + checked.stderr, '');
    unsubscribe();
    await bus.call(methods.DestroyCgroup, { containerId });
  });

  test('the teardown is refused while a container has a cgroup, and then leaves nothing', async () => {
    const containerId = newContainerId();
    await bus.call(methods.CreateCgroup, { containerId });
    await assert.rejects(bus.call(methods.TearDown, {}), (error) =>
      isGantryError(error, 'failed_precondition'),
    );
    await bus.call(methods.DestroyCgroup, { containerId });
    await bus.call(methods.TearDown, {});
    await bus.call(methods.TearDown, {});
    for (const { mountPoint } of findHierarchies('/sys/fs/cgroup').all)
      assert.equal(isDirectory(join(mountPoint, config.cgroup_root)), false);
    assert.equal(readFileSync('/proc/self/cgroup', 'utf8').includes(config.cgroup_root), false);
  });
});

function removeIfEmpty(path: string): void {
  if (isDirectory(path) && childNames(path).length === 0) spawnSync('rmdir', [path]);
}

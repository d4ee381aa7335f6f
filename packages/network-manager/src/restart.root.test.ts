import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestHost, needsRoot, newContainerId } from './testing/test-host.js';

test(
  'containers do not notice that the service is killed and started again',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const web = await host.attach({
        names: ['web'],
        ports: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
      });
      const sidecar = await host.attach({
        networkMode: 'NETWORK_MODE_CONTAINER',
        joinContainerId: web.containerId,
      });
      await host.serve(web.net, 'tcp', 80);
      await host.settle();
      const links = host.links().sort();
      await host.kill();
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 8080), '192.0.2.2', 'without the service');
      await host.start();
      await host.settle();
      assert.deepEqual(host.links().sort(), links, 'sandboxes and pool are taken over, none is made anew');
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 8080), '192.0.2.2');
      assert.deepEqual(await host.attach({ containerId: web.containerId }), web);
      assert.equal((await host.attach({ containerId: sidecar.containerId })).net, web.net);
      const other = await host.attach();
      assert.match(
        host.run(other.net, 'busybox', 'nslookup', 'web', other.gateway),
        new RegExp(web.ipAddress.replaceAll('.', '\\.')),
      );
      for (const one of [web, sidecar, other])
        await host.call('DetachSandbox', { containerId: one.containerId });
      await host.expectNothingLeft();
    });
  },
);

test('a graceful stop leaves everything as it is', { skip: needsRoot }, async () => {
  await TestHost.with({}, async (host) => {
    const one = await host.attach();
    await host.settle();
    const links = host.links().sort();
    await host.stop();
    assert.deepEqual(host.links().sort(), links);
    await host.start();
    await host.settle();
    assert.deepEqual(host.links().sort(), links);
    assert.equal((await host.attach({ containerId: one.containerId })).ipAddress, one.ipAddress);
    await host.call('DetachSandbox', { containerId: one.containerId });
    await host.expectNothingLeft();
  });
});

test(
  'a kill at any moment of attaching and detaching leaves nothing that is not held',
  { skip: needsRoot, timeout: 120_000 },
  async () => {
    await TestHost.with({ pool_size: 2 }, async (host) => {
      const containers = Array.from({ length: 6 }, newContainerId);
      for (let round = 0; round < 15; round++) {
        const work = containers.map(async (containerId, index) => {
          for (;;) {
            await host.attach({
              containerId,
              ports: index % 2 === 0 ? [{ hostPort: 9000 + index, containerPort: 80, protocol: 'tcp' }] : [],
              sysctls: { 'net.ipv4.tcp_syncookies': '0' },
            });
            await host.call('DetachSandbox', { containerId });
          }
        });
        const ended = Promise.allSettled(work);
        await sleep(Math.random() * 60);
        await host.kill();
        await ended;
        await host.start();
        // Whoever was told of a sandbox still has it; each can go on as if nothing had happened.
        const { holders } = await host.call('ListSandboxes', {});
        assert.equal(
          new Set(holders.map((holder) => holder.sandbox?.ipAddress)).size,
          holders.length,
          'no address twice',
        );
        assert.equal(
          new Set(holders.map((holder) => holder.sandbox?.idBase)).size,
          holders.length,
          'no uid range twice',
        );
        for (const containerId of containers) await host.attach({ containerId });
        for (const containerId of containers) await host.call('DetachSandbox', { containerId });
        await host.settle();
        assert.equal(host.links().length, 1 + 2, 'the bridge and the pool');
        assert.equal(readdirSync(join(host.runDirectory, 'sandboxes')).length, 2);
        assert.equal(readdirSync(join(host.runDirectory, 'network', 'sandboxes')).length, 2);
        assert.equal(host.mounts().length, 1 + 2 * 2);
        assert.doesNotMatch(host.ruleset(), /elements = \{ (tcp|udp|6|17) /);
      }
      await host.expectNothingLeft();
    });
  },
);

test(
  'a hundred containers come and go and leave no link, mount or rule',
  { skip: needsRoot, timeout: 60_000 },
  async () => {
    await TestHost.with({ pool_size: 4 }, async (host) => {
      const containers = Array.from({ length: 100 }, newContainerId);
      const queue = [...containers.entries()];
      const caller = async (): Promise<void> => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
          const [index, containerId] = next;
          await host.attach({
            containerId,
            ports: index % 4 === 0 ? [{ hostPort: 0, containerPort: 80, protocol: 'udp' }] : [],
          });
        }
      };
      await Promise.all(Array.from({ length: 8 }, caller));
      const { holders } = await host.call('ListSandboxes', {});
      assert.equal(holders.length, 100);
      assert.equal(new Set(holders.map((holder) => holder.sandbox?.ipAddress)).size, 100);
      await Promise.all(containers.map((containerId) => host.call('DetachSandbox', { containerId })));
      await host.settle();
      assert.equal(host.links().length, 1 + 4);
      assert.equal(host.mounts().length, 1 + 2 * 4);
      await host.expectNothingLeft();
    });
  },
);

test('a tear-down keeps the network of containers that still run', { skip: needsRoot }, async () => {
  await TestHost.with({}, async (host) => {
    const one = await host.attach();
    assert.deepEqual(await host.call('TearDown', {}), { removed: false, holders: 1 });
    host.run(one.net, 'busybox', 'ping', '-c', '1', '-W', '2', '192.0.2.2');
    assert.equal(host.links().length, 2, 'the pool is gone');
    await host.call('DetachSandbox', { containerId: one.containerId });
    await host.expectNothingLeft();
    await assert.rejects(host.attach(), /taken down/);
  });
});

test("a bridge that is another tool's is refused by name and left alone", { skip: needsRoot }, async () => {
  await TestHost.with({}, async (host) => {
    await host.expectNothingLeft();
    await host.kill();
    host.run(host.name, 'ip', 'link', 'add', host.bridge, 'type', 'bridge');
    await assert.rejects(host.start());
    assert.deepEqual(host.links(), [host.bridge]);
    assert.doesNotMatch(host.run(host.name, 'ip', 'address', 'show', host.bridge), /inet /);
    host.run(host.name, 'ip', 'link', 'del', host.bridge);
    await host.start();
    await host.expectNothingLeft();
  });
});

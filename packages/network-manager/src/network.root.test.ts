import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { isGantryError } from '@gantry/protocol';
import { TestHost, needsRoot, newContainerId } from './testing/test-host.js';

test(
  'two containers reach each other and the world, and nothing is left afterwards',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const one = await host.attach();
      const two = await host.attach();
      assert.notEqual(one.ipAddress, two.ipAddress);
      host.run(one.net, 'busybox', 'ping', '-c', '1', '-W', '2', two.ipAddress);
      await host.serve(two.net, 'tcp', 80);
      assert.equal(await host.askPeer(one.net, two.ipAddress, 80), one.ipAddress);
      await host.serve(host.outside, 'tcp', 80);
      assert.equal(await host.askPeer(one.net, '192.0.2.2', 80), '192.0.2.1', 'masqueraded as the host');
      await host.call('DetachSandbox', { containerId: one.containerId });
      await host.call('DetachSandbox', { containerId: two.containerId });
      await host.expectNothingLeft();
    });
  },
);

test(
  'a sandbox is a network namespace owned by a user namespace with a range of its own',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const one = await host.attach();
      const two = await host.attach();
      const user = one.userNamespace?.path ?? '';
      assert.deepEqual(
        [statSync(user).ino, statSync(one.net).ino],
        [one.userNamespace?.inode, one.networkNamespace?.inode],
      );
      assert.equal(one.idCount, 65536);
      assert.ok(Math.abs(one.idBase - two.idBase) >= 65536, 'ranges do not overlap');
      const inside = (...words: string[]): string =>
        execFileSync('nsenter', [`--user=${user}`, `--net=${one.net}`, ...words], { encoding: 'utf8' });
      assert.equal(
        inside('cat', '/proc/self/uid_map').trim().replaceAll(/\s+/g, ' '),
        `0 ${one.idBase} 65536`,
      );
      // Only an owner may do this.
      inside('ip', 'link', 'add', 'extra', 'type', 'bridge');
      inside('ip', 'link', 'del', 'extra');
      const own = JSON.parse(inside('ip', '-j', 'address', 'show', 'eth0')) as {
        address: string;
        addr_info: { local: string }[];
      }[];
      assert.equal(own[0]?.address, one.macAddress);
      assert.deepEqual(
        own[0]?.addr_info.map((entry) => entry.local),
        [one.ipAddress],
      );
      assert.equal(host.run(one.net, 'cat', '/proc/sys/net/ipv4/ip_unprivileged_port_start').trim(), '0');
      assert.equal(inside('cat', '/proc/sys/net/ipv4/ping_group_range').trim(), '0\t65535');
      assert.match(host.run(one.net, 'ip', 'address', 'show', 'lo'), /LOOPBACK,UP/);
    });
  },
);

test(
  'a published port is reached from the host, from outside with the client address kept, and from containers',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const web = await host.attach({
        ports: [
          { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
          { hostPort: 8081, containerPort: 80, protocol: 'tcp', hostIp: '127.0.0.1' },
          { hostPort: 5353, containerPort: 53, protocol: 'udp' },
          { hostPort: 0, containerPort: 80, protocol: 'tcp' },
        ],
      });
      const other = await host.attach();
      await host.serve(web.net, 'tcp', 80);
      await host.serve(web.net, 'udp', 53);
      const gateway = web.gateway;
      assert.equal(await host.askPeer(host.name, '127.0.0.1', 8080), gateway);
      assert.equal(await host.askPeer(host.name, '192.0.2.1', 8080), '192.0.2.1');
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 8080), '192.0.2.2', 'client address kept');
      assert.equal(await host.askPeer(host.name, '127.0.0.1', 5353, 'udp'), gateway);
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 5353, 'udp'), '192.0.2.2');
      assert.equal(
        await host.askPeer(other.net, '192.0.2.1', 8080),
        gateway,
        'another container through the host',
      );
      assert.equal(
        await host.askPeer(web.net, '192.0.2.1', 8080),
        gateway,
        'hairpin: itself through the host',
      );
      assert.equal(await host.askPeer(host.name, '127.0.0.1', 8081), gateway);
      assert.equal(
        await host.askPeer(host.outside, '192.0.2.1', 8081),
        undefined,
        'published on 127.0.0.1 alone',
      );
      const ephemeral = web.ports[3]?.hostPort ?? 0;
      assert.ok(ephemeral >= 32768 && ephemeral <= 60999);
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', ephemeral), '192.0.2.2');
      await host.call('DetachSandbox', { containerId: web.containerId });
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 8080), undefined, 'unpublished');
    });
  },
);

test(
  'foreign packets reach neither 127.0.0.0/8 of the host nor an unpublished port',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const web = await host.attach({
        ports: [{ hostPort: 8081, containerPort: 80, protocol: 'tcp', hostIp: '127.0.0.1' }],
      });
      await host.serve(web.net, 'tcp', 80);
      await host.serve(web.net, 'tcp', 81);
      await host.serve(host.name, 'tcp', 9000, '127.0.0.1');
      host.run(host.outside, 'ip', 'route', 'add', '10.88.0.0/16', 'via', '192.0.2.1');
      assert.equal(await host.askPeer(host.outside, web.ipAddress, 81), undefined);
      assert.equal(await host.askPeer(host.name, web.ipAddress, 81), web.gateway, 'the host itself gets in');
      // A neighbour, and a container, that send packets for 127.0.0.1 to the host.
      for (const [namespace, via] of [
        [host.outside, '192.0.2.1'],
        [web.net, web.gateway],
      ] as const) {
        host.run(namespace, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet');
        host.run(namespace, 'ip', 'route', 'del', 'table', 'local', '127.0.0.0/8', 'dev', 'lo');
        host.run(namespace, 'ip', 'route', 'del', 'table', 'local', 'local', '127.0.0.1');
        host.run(
          namespace,
          'ip',
          'route',
          'add',
          '127.0.0.1',
          'via',
          via,
          'src',
          namespace === host.outside ? '192.0.2.2' : web.ipAddress,
        );
        assert.equal(await host.askPeer(namespace, '127.0.0.1', 8081), undefined);
        assert.equal(await host.askPeer(namespace, '127.0.0.1', 9000), undefined);
      }
    });
  },
);

test("a container reaches the host's services but not Gantry's own ports", { skip: needsRoot }, async () => {
  await TestHost.with({ guarded_ports: [4222] }, async (host) => {
    const one = await host.attach();
    await host.serve(host.name, 'tcp', 4222);
    await host.serve(host.name, 'tcp', 4223);
    assert.equal(await host.askPeer(one.net, one.gateway, 4223), one.ipAddress);
    assert.equal(await host.askPeer(one.net, one.gateway, 4222), undefined);
    assert.equal(await host.askPeer(one.net, '192.0.2.1', 4222), undefined);
    assert.equal(
      await host.askPeer(host.outside, '192.0.2.1', 4222),
      '192.0.2.2',
      'only containers are kept out',
    );
  });
});

test(
  'a client that keeps its port reaches the next container behind a published port',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const ports = [{ hostPort: 5353, containerPort: 53, protocol: 'udp' }];
      const first = await host.attach({ ports });
      await host.serve(first.net, 'udp', 53);
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 5353, 'udp', 33_333), '192.0.2.2');
      await host.call('DetachSandbox', { containerId: first.containerId });
      const second = await host.attach({ ports });
      await host.serve(second.net, 'udp', 53);
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 5353, 'udp', 33_333), '192.0.2.2');
    });
  },
);

test('the host forwards for its containers and stays no router for others', { skip: needsRoot }, async () => {
  await TestHost.with({}, async (host) => {
    const one = await host.attach();
    assert.equal(host.run(host.name, 'cat', '/proc/sys/net/ipv4/ip_forward').trim(), '0');
    // A second network behind the host that is none of ours.
    host.run(host.name, 'ip', 'link', 'add', 'other', 'type', 'bridge');
    host.run(host.name, 'ip', 'address', 'add', '198.51.100.1/24', 'dev', 'other');
    host.run(host.name, 'ip', 'link', 'set', 'other', 'up');
    host.run(host.outside, 'ip', 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.1');
    assert.equal(
      host.tryRun(host.outside, 'busybox', 'ping', '-c', '1', '-W', '1', '198.51.100.9'),
      undefined,
    );
    assert.equal(
      host.run(host.name, 'ip', 'neigh', 'show', 'dev', 'other'),
      '',
      'the host did not even look for the neighbour',
    );
    host.run(one.net, 'busybox', 'ping', '-c', '1', '-W', '2', '192.0.2.2');
  });
});

test('containers find each other by name, in any case, and back', { skip: needsRoot }, async () => {
  await TestHost.with({}, async (host) => {
    const one = await host.attach({ names: ['web', 'Front.Example'] });
    const two = await host.attach({ names: ['client'] });
    assert.deepEqual(two.dnsServers, [two.gateway]);
    const lookup = (name: string): string =>
      host.tryRun(two.net, 'busybox', 'nslookup', name, two.gateway) ?? '';
    assert.match(lookup('WEB'), new RegExp(one.ipAddress.replaceAll('.', '\\.')));
    assert.match(lookup('front.example'), new RegExp(one.ipAddress.replaceAll('.', '\\.')));
    assert.match(lookup(one.ipAddress), /name = web/);
    await host.call('SetNames', { containerId: one.containerId, names: ['renamed'] });
    assert.match(lookup('renamed'), new RegExp(one.ipAddress.replaceAll('.', '\\.')));
    assert.doesNotMatch(lookup('web'), new RegExp(one.ipAddress.replaceAll('.', '\\.')));
    assert.equal(
      host.tryRun(host.outside, 'timeout', '1', 'busybox', 'nslookup', 'renamed', '192.0.2.1'),
      undefined,
      'nobody outside is answered',
    );
  });
});

test(
  'two scopes may have the same alias, and each container finds its own, also after a restart',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const shop = await host.attach({ names: ['shop_web.1'], scope: 'shop', aliases: ['web'] });
      const blog = await host.attach({ names: ['blog_web.1'], scope: 'blog', aliases: ['web'] });
      const asker = await host.attach({ names: ['shop_db.1'], scope: 'shop', aliases: ['db'] });
      const outsider = await host.attach({ names: ['lone'] });
      const lookup = (from: typeof asker, name: string): string =>
        host.tryRun(from.net, 'busybox', 'nslookup', name, from.gateway) ?? '';
      const finds = (from: typeof asker, name: string, what: typeof asker): void =>
        assert.match(lookup(from, name), new RegExp(`${what.ipAddress.replaceAll('.', '\\.')}$`, 'm'));
      const check = (): void => {
        finds(asker, 'web', shop);
        finds(blog, 'web', blog);
        finds(outsider, 'shop_web.1', shop);
        assert.doesNotMatch(lookup(outsider, 'web'), new RegExp(shop.ipAddress.replaceAll('.', '\\.')));
      };
      check();
      await host.kill();
      await host.start();
      check();
    });
  },
);

test(
  'a container may join the sandbox of another, which lives until the last one leaves',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const owner = await host.attach({ ports: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] });
      const joined = await host.attach({
        networkMode: 'NETWORK_MODE_CONTAINER',
        joinContainerId: owner.containerId,
        names: ['sidecar'],
      });
      assert.equal(joined.net, owner.net);
      assert.equal(joined.sandboxId, owner.containerId);
      await host.call('DetachSandbox', { containerId: owner.containerId });
      const again = await host.attach({ ports: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] });
      assert.notEqual(
        again.ipAddress,
        owner.ipAddress,
        'the port was the owner’s and is free again, its sandbox is not',
      );
      host.run(again.net, 'busybox', 'ping', '-c', '1', '-W', '2', joined.ipAddress);
      await host.call('DetachSandbox', { containerId: joined.containerId });
      await host.settle();
      assert.throws(() => statSync(joined.net));
      await assert.rejects(
        host.attach({ networkMode: 'NETWORK_MODE_CONTAINER', joinContainerId: owner.containerId }),
        (error) =>
          isGantryError(error, 'not_found') && error.message.includes(owner.containerId.slice(0, 12)),
      );
    });
  },
);

test(
  'network none has loopback alone, network host the host itself, each with or without a user namespace',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      for (const userMode of ['USER_NAMESPACE_MODE_PRIVATE', 'USER_NAMESPACE_MODE_HOST'] as const) {
        const none = await host.attach({ networkMode: 'NETWORK_MODE_NONE', userMode });
        assert.deepEqual(
          (JSON.parse(host.run(none.net, 'ip', '-j', 'link')) as { ifname: string }[]).map(
            (link) => link.ifname,
          ),
          ['lo'],
        );
        host.run(none.net, 'busybox', 'ping', '-c', '1', '127.0.0.1');
        const shared = await host.attach({ networkMode: 'NETWORK_MODE_HOST', userMode });
        assert.equal(shared.net, '');
        const isPrivate = userMode === 'USER_NAMESPACE_MODE_PRIVATE';
        for (const one of [none, shared]) {
          assert.equal(one.userNamespace?.path !== '', isPrivate);
          assert.equal(one.idCount, isPrivate ? 65536 : 0);
          if (isPrivate) statSync(one.userNamespace?.path ?? '');
        }
        const open = await host.attach({ userMode });
        host.run(open.net, 'busybox', 'ping', '-c', '1', '-W', '2', open.gateway);
        for (const one of [none, shared, open])
          await host.call('DetachSandbox', { containerId: one.containerId });
      }
      await host.expectNothingLeft();
    });
  },
);

test('a port that is taken is refused with the name of who holds it', { skip: needsRoot }, async () => {
  await TestHost.with({}, async (host) => {
    const port = (
      hostPort: number,
      hostIp = '',
    ): { hostPort: number; containerPort: number; protocol: string; hostIp: string } => ({
      hostPort,
      containerPort: 80,
      protocol: 'tcp',
      hostIp,
    });
    await host.attach({ names: ['web'], ports: [port(8080)] });
    const refused = async (
      code: 'already_exists' | 'failed_precondition',
      text: RegExp,
      ...ports: ReturnType<typeof port>[]
    ): Promise<void> => {
      await assert.rejects(
        host.attach({ ports }),
        (error) => isGantryError(error, code) && text.test(error.message),
      );
    };
    await refused(
      'already_exists',
      /port 0\.0\.0\.0:8080\/tcp is already published by container web/,
      port(8080),
    );
    await refused('already_exists', /127\.0\.0\.1:8080\/tcp/, port(8090), port(8080, '127.0.0.1'));
    await host.serve(host.name, 'tcp', 7000);
    await refused(
      'failed_precondition',
      /port 0\.0\.0\.0:7000\/tcp cannot be published: .*process \d+\) listens on it/,
      port(7000),
    );
    await refused(
      'failed_precondition',
      /203\.0\.113\.1 is not an address of this host/,
      port(7001, '203.0.113.1'),
    );
    await host.attach({ ports: [port(8090), port(7001)] });
  });
});

test('attaching again answers the same sandbox, detaching again succeeds', { skip: needsRoot }, async () => {
  await TestHost.with({}, async (host) => {
    const containerId = newContainerId();
    const first = await host.attach({
      containerId,
      ports: [{ hostPort: 0, containerPort: 80, protocol: 'tcp' }],
    });
    const attempts = await Promise.all(
      [1, 2, 3].map(() =>
        host.attach({ containerId, ports: [{ hostPort: 0, containerPort: 80, protocol: 'tcp' }] }),
      ),
    );
    for (const attempt of attempts) assert.deepEqual(attempt, first);
    const { holders } = await host.call('ListSandboxes', {});
    assert.deepEqual(
      holders.map((holder) => holder.containerId),
      [containerId],
    );
    await host.call('DetachSandbox', { containerId });
    await host.call('DetachSandbox', { containerId });
    await assert.rejects(host.call('GetSandbox', { containerId }), (error) =>
      isGantryError(error, 'not_found'),
    );
  });
});

test(
  'sysctls of the network are set inside and refused by name where they cannot be',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const one = await host.attach({
        sysctls: { 'net.ipv4.tcp_syncookies': '0', 'net.core.somaxconn': '77' },
      });
      assert.equal(host.run(one.net, 'cat', '/proc/sys/net/core/somaxconn').trim(), '77');
      await assert.rejects(
        host.attach({ sysctls: { 'net.ipv4.no_such_thing': '1' } }),
        (error) =>
          isGantryError(error, 'invalid_argument') && error.message.includes('net.ipv4.no_such_thing'),
      );
      await assert.rejects(host.attach({ sysctls: { 'net.ipv4.conf.../../kernel': '1' } }), (error) =>
        isGantryError(error, 'invalid_argument'),
      );
      await host.call('DetachSandbox', { containerId: one.containerId });
      await host.expectNothingLeft();
    });
  },
);

test('counters of the interface inside grow with what is sent', { skip: needsRoot }, async () => {
  await TestHost.with({}, async (host) => {
    const one = await host.attach();
    host.run(one.net, 'busybox', 'ping', '-c', '3', '-i', '0.1', '-s', '1000', one.gateway);
    const { interfaces } = await host.call('GetInterfaceUsage', { containerId: one.containerId });
    assert.deepEqual(
      interfaces.map((entry) => entry.name),
      ['eth0'],
    );
    assert.ok((interfaces[0]?.txBytes ?? 0) > 3_000 && (interfaces[0]?.rxBytes ?? 0) > 3_000);
    const { lines } = await host.call('DescribeSandbox', { containerId: one.containerId });
    assert.match(lines.join('\n'), /out: eth0 10\.88\.0\.\d+ -> gv[0-9a-f]{13} -> bridge gantrytest0/);
  });
});

test(
  'rules and a bridge that somebody removed come back, and connections work again',
  { skip: needsRoot },
  async () => {
    await TestHost.with({}, async (host) => {
      const web = await host.attach({ ports: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] });
      await host.serve(web.net, 'tcp', 80);
      assert.deepEqual(await host.check(), []);
      host.run(host.name, 'nft', 'flush', 'ruleset');
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 8080), undefined);
      assert.equal((await host.check()).length, 1);
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 8080), '192.0.2.2');
      host.run(host.name, 'nft', 'flush', 'map', 'inet', host.table, 'published_any');
      assert.equal((await host.check()).length, 1);
      host.run(host.name, 'ip', 'link', 'del', host.bridge);
      assert.notDeepEqual(await host.check(), []);
      assert.equal(await host.askPeer(web.net, '192.0.2.1', 8080), web.gateway);
      assert.equal(await host.askPeer(host.outside, '192.0.2.1', 8080), '192.0.2.2');
      assert.deepEqual(await host.check(), []);
      assert.ok(readFileSync('/proc/self/mountinfo', 'utf8').includes(web.net));
    });
  },
);

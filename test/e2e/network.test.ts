import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { describeOnNode, eventually, testImage, type TestNode } from '@gantry/test-harness';

const serve = ['httpd', '-f', '-p', '80', '-h', '/www'] as const;
const page = 'page of the test image\n';

async function fetchEventually(node: TestNode, url: string): Promise<string> {
  return eventually(`${url} answers`, () => node.network.fetch(url));
}

describeOnNode(
  'the network of containers',
  (getNode) => {
    test('each has an address of the subnet, and its gateway answers', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'one', testImage, 'sleep', '1000');
      const { IPAddress } = (await node.inspect('one')).NetworkSettings;
      assert.ok(IPAddress.startsWith(`${node.subnetPrefix}.`), IPAddress);
      assert.match(
        await node.must('exec', 'one', 'ip', '-4', 'addr', 'show', 'eth0'),
        new RegExp(`inet ${IPAddress}/16`),
      );
      await node.must('exec', 'one', 'ping', '-c', '1', '-W', '2', `${node.subnetPrefix}.0.1`);
    });

    test('containers find each other by name, by new name after a rename, and not after the end', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'web', testImage, ...serve);
      await node.must('run', '-d', '--name', 'client', testImage, 'sleep', '1000');
      const get = (name: string): Promise<string> =>
        node.must('exec', 'client', 'wget', '-q', '-T', '3', '-O', '-', `http://${name}/`);
      await eventually('the page comes', async () => (await get('web')) === page.trimEnd());
      await node.must('rename', 'web', 'shop');
      assert.equal(await get('shop'), page.trimEnd());
      assert.notEqual((await node.gantry(['exec', 'client', 'nslookup', 'web'])).code, 0);
      await node.must('rm', '-f', 'shop');
      assert.notEqual((await node.gantry(['exec', 'client', 'nslookup', 'shop'])).code, 0);
    });

    test('a published port answers on the node, on its addresses, and to other containers', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'web', '-p', '8080:80', testImage, ...serve);
      assert.equal(await fetchEventually(node, 'http://127.0.0.1:8080/'), page);
      assert.equal(await node.network.fetch('http://192.0.2.1:8080/'), page);
      assert.ok(node.outside);
      assert.equal(await node.outside.fetch('http://192.0.2.1:8080/'), page);
      assert.equal(await node.must('port', 'web'), '80/tcp -> 0.0.0.0:8080');
      assert.equal(
        await node.must(
          'run',
          '--rm',
          testImage,
          'wget',
          '-q',
          '-T',
          '3',
          '-O',
          '-',
          'http://192.0.2.1:8080/',
        ),
        page.trimEnd(),
      );
    });

    test('a port published on one address is closed on the others', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'web', '-p', '127.0.0.1:8081:80', testImage, ...serve);
      assert.equal(await fetchEventually(node, 'http://127.0.0.1:8081/'), page);
      assert.ok(node.outside);
      assert.notEqual(
        (await node.outside.run('busybox', ['wget', '-q', '-T', '2', '-O', '-', 'http://192.0.2.1:8081/']))
          .code,
        0,
      );
    });

    test('a port of no wish is a free one, told by port and inspect', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'web', '-p', '80', testImage, ...serve);
      const told = await node.must('port', 'web', '80');
      const port = Number(/:(\d+)$/m.exec(told)?.[1]);
      assert.ok(port >= 32_768 && port <= 60_999, told);
      assert.equal(await fetchEventually(node, `http://127.0.0.1:${port}/`), page);
    });

    test('udp ports and ranges are published too', async () => {
      const node = getNode();
      await node.must(
        'run',
        '-d',
        '--name',
        'echo',
        '-p',
        '7000-7002:7000-7002/udp',
        testImage,
        'nc',
        '-u',
        '-l',
        '-p',
        '7001',
        '-e',
        'cat',
      );
      await eventually('the datagram comes back', async () => {
        const { stdout } = await node.network.run(
          'sh',
          ['-c', 'echo hello | busybox nc -u -w 1 127.0.0.1 7001'],
          { timeoutMs: 10_000 },
        );
        return stdout === 'hello\n';
      });
    });

    test('what leaves the node has the node for its sender, and what comes in keeps its own', async () => {
      const node = getNode();
      assert.ok(node.outside);
      const [program, words] = node.outside.wrap('busybox', [
        'nc',
        '-lk',
        '-p',
        '9000',
        '-e',
        'sh',
        '-c',
        'echo $NCREMOTEADDR',
      ]);
      const server = spawn(program, words, { stdio: 'ignore' });
      try {
        const peers = await eventually('connected to the outside', async () => {
          const pending = node.must(
            'run',
            '--rm',
            testImage,
            'sh',
            '-c',
            'nc -w 2 192.0.2.2 9000 < /dev/null; echo done',
          );
          const { stdout } = await node.outside!.run('sh', [
            '-c',
            'for i in 1 2 3 4 5 6 7 8; do ss -Htn state established; sleep 0.1; done; ss -Htan',
          ]);
          await pending;
          return stdout.includes(':9000') && stdout;
        });
        assert.match(peers, /192\.0\.2\.1:\d+/);
        assert.doesNotMatch(peers, new RegExp(node.subnetPrefix.replace('.', '\\.')));
      } finally {
        server.kill('SIGKILL');
      }
    });

    test('--network none has loopback only, host is the host, container:NAME is the other one', async () => {
      const node = getNode();
      assert.equal(
        await node.must('run', '--rm', '--network', 'none', testImage, 'sh', '-c', 'ls /sys/class/net'),
        'lo',
      );
      const hostLinks = await node.must(
        'run',
        '--rm',
        '--network',
        'host',
        testImage,
        'sh',
        '-c',
        'ip -o link | cut -d: -f2',
      );
      assert.match(hostLinks, new RegExp(node.bridge));
      await node.must('run', '-d', '--name', 'owner', testImage, ...serve);
      const joined = await eventually('the page comes over loopback', () =>
        node.must(
          'run',
          '--rm',
          '--network',
          'container:owner',
          testImage,
          'wget',
          '-q',
          '-O',
          '-',
          'http://127.0.0.1/',
        ),
      );
      assert.equal(joined, page.trimEnd());
    });

    test('--network host cannot write /sys', async () => {
      const { code } = await getNode().gantry([
        'run',
        '--rm',
        '--network',
        'host',
        testImage,
        'sh',
        '-c',
        'echo x > /sys/kernel/uevent_seqnum || touch /sys/class/net/x',
      ]);
      assert.notEqual(code, 0);
    });

    test('a port that is taken is refused by its number, and free again after the end', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'first', '-p', '8090:80', testImage, ...serve);
      const second = await node.gantry([
        'run',
        '-d',
        '--name',
        'second',
        '-p',
        '8090:80',
        testImage,
        ...serve,
      ]);
      assert.equal(second.code, 125);
      assert.match(second.stderr, /8090/);
      await node.must('rm', '-f', 'first');
      await node.must('run', '-d', '--name', 'third', '-p', '8090:80', testImage, ...serve);
    });
  },
  { outside: true },
);

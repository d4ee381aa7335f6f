import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { describeOnNode, eventually, testImage, type TestNode } from '@gantry/test-harness';

const serve = ['httpd', '-f', '-p', '80', '-h', '/www'] as const;
const page = 'page of the test image\n';

const sendDatagram = `
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (data) => { process.stdout.write(data); socket.close(); });
  socket.send('hello', Number(process.argv[1]), '127.0.0.1');
  setTimeout(() => process.exit(), 1000).unref();
`;
const tellCaller = `
  require('node:net').createServer((socket) => socket.end(socket.remoteAddress)).listen(Number(process.argv[1]), '0.0.0.0');
`;

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
        node.must('exec', 'client', 'wget', '-q', '-O', '-', `http://${name}/`);
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
        await node.must('run', '--rm', testImage, 'wget', '-q', '-O', '-', 'http://192.0.2.1:8080/'),
        page.trimEnd(),
      );
    });

    test('a port published on one address is closed on the others', async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'web', '-p', '127.0.0.1:8081:80', testImage, ...serve);
      assert.equal(await fetchEventually(node, 'http://127.0.0.1:8081/'), page);
      assert.ok(node.outside);
      await assert.rejects(node.outside.fetch('http://192.0.2.1:8081/'));
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
      const range = '7000-7002:7000-7002/udp';
      await node.must('run', '-d', '--name', 'echo', '-p', range, testImage, 'payload', 'udp-echo', '7001');
      await eventually('the datagram comes back', async () => {
        const { stdout } = await node.network.run(process.execPath, ['--eval', sendDatagram, '7001']);
        return stdout === 'hello';
      });
    });

    test('what leaves the node has the node for its sender, and what comes in keeps its own', async () => {
      const node = getNode();
      assert.ok(node.outside);
      const [program, words] = node.outside.wrap(process.execPath, ['--eval', tellCaller, '9000']);
      const server = spawn(program, words, { stdio: 'ignore' });
      try {
        const caller = await eventually('the outside answers', () =>
          node.must('run', '--rm', testImage, 'nc', '-w', '3', '192.0.2.2', '9000'),
        );
        assert.equal(caller, '192.0.2.1');
      } finally {
        server.kill('SIGKILL');
      }
      await node.must(
        'run',
        '-d',
        '--name',
        'web',
        '-p',
        '8085:80',
        testImage,
        'httpd',
        '-f',
        '-vv',
        '-p',
        '80',
        '-h',
        '/www',
      );
      await eventually('the page comes', () => node.outside?.fetch('http://192.0.2.1:8085/'));
      const { stdout, stderr } = await node.gantry(['logs', 'web']);
      assert.match(stdout + stderr, /192\.0\.2\.2/);
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

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { busUsers, eventSubject, inboxPrefix, methodSubject, nodeServices, type BusUser } from '@gantry/bus';
import { describeOnNode, eventually, testImage, type TestNode } from '@gantry/test-harness';

const probe = fileURLToPath(new URL('bus-probe.js', import.meta.url));

/** What each user of the bus may call: the whole table. Everything else must be refused by nats-server itself. */
const mayCall: Readonly<Record<BusUser, readonly string[]>> = {
  'image-store': [],
  'network-manager': [],
  'cgroup-supervisor': [],
  spawner: [],
  'node-agent': ['image-store', 'network-manager', 'cgroup-supervisor', 'spawner'],
  control: [],
  api: [
    'node-agent',
    'membership',
    'control',
    'image-store',
    'network-manager',
    'cgroup-supervisor',
    'spawner',
  ],
  gantryd: [],
};

interface Subjects {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Asks nats-server, as this user, for each subject; resolves with those it refused. */
async function refused(node: TestNode, user: string, subjects: Subjects): Promise<Subjects> {
  const seed = readFileSync(join(node.stateDirectory, 'keys', `${user}.nk`), 'utf8').trim();
  return JSON.parse(await runProbe(node, { seed, inboxPrefix: inboxPrefix(user), ...subjects })) as Subjects;
}

function runProbe(
  node: TestNode,
  trial: Subjects & { readonly seed: string; readonly inboxPrefix: string },
): Promise<string> {
  return node.network.mustRun(process.execPath, [probe, String(node.natsPort)], {
    input: JSON.stringify(trial),
  });
}

/** The one kind of event a service may publish. */
const publishes: Readonly<Record<string, string>> = {
  spawner: 'process-exited',
  'cgroup-supervisor': 'cgroup-oom',
  'node-agent': 'container',
  'image-store': 'image',
};

describeOnNode(
  'who may do what',
  (getNode) => {
    const nodeId = (): string => readFileSync(join(getNode().stateDirectory, 'node-id'), 'utf8').trim();

    for (const user of busUsers) {
      test(`${user} calls only the services its work needs, hears nobody else's messages and forges no events`, async () => {
        const id = nodeId();
        const others = nodeServices.filter((service) => service !== user);
        const calls = (services: readonly string[]): string[] =>
          services.map((service) => methodSubject(id, service, 'Probe'));
        const forbidden: Subjects = {
          publish: [
            ...calls(others.filter((service) => !mayCall[user].includes(service))),
            ...Object.values(publishes)
              .filter((kind) => publishes[user] !== kind)
              .map((kind) => eventSubject(id, kind)),
            methodSubject('ffffffffffffffff', 'spawner', 'StartContainer'),
            ...['$JS.API.INFO', '$SYS.REQ.SERVER.PING', '$KV.x.y'],
          ],
          subscribe: [
            // Calls to control are answered by the node's agent, which hands them on.
            ...others
              .filter((service) => !(user === 'node-agent' && service === 'control'))
              .map((service) => methodSubject(id, service, '>')),
            ...others.map((service) => `${inboxPrefix(service)}.>`),
            ...['>', 'gantry.>'],
          ],
        };
        const asked = { ...forbidden, publish: [...forbidden.publish, ...calls(mayCall[user])] };
        assert.deepEqual(await refused(getNode(), user, asked), forbidden);
      });
    }

    test('nobody without a key gets in', async () => {
      const node = getNode();
      await assert.rejects(
        runProbe(node, { seed: '', inboxPrefix: '_INBOX', publish: [], subscribe: [] }),
        /authorization/i,
      );
    });

    test('keys and sockets are for root alone', async () => {
      const node = getNode();
      const modes = await node.network.mustRun('find', [
        node.directory,
        '(',
        '-name',
        '*.nk',
        '-o',
        '-type',
        's',
        ')',
        '-printf',
        '%m %p\n',
      ]);
      for (const line of modes.trim().split('\n')) assert.match(line, /^(600|660) /, line);
      assert.match(modes, /\.nk/);
    });

    test("a container reaches none of Gantry's ports: not on the gateway, not on the node's addresses, not on loopback", async () => {
      const node = getNode();
      await node.must('run', '-d', '--name', 'probe', testImage, 'sleep', '1000');
      const listening = await node.network.mustRun('ss', ['-Hltn']);
      const ports = [...listening.matchAll(/:(\d+)\s/g)].map((match) => Number(match[1]));
      assert.ok(ports.includes(node.natsPort), listening);
      const gateway = `${node.subnetPrefix}.0.1`;
      // Port 53 of the gateway answers names: that is for containers, and all that is.
      const targets = [...new Set(ports.filter((port) => port !== 53))].flatMap((port) =>
        [gateway, '192.0.2.1', '127.0.0.1'].map((address) => `${address} ${port}`),
      );
      const script = targets.map((target) => `echo "${target} $(payload connect ${target})" &`).join(' ');
      const answers = (await node.must('exec', 'probe', 'sh', '-c', `${script} wait`)).split('\n');
      assert.equal(answers.length, targets.length);
      assert.deepEqual(
        answers.filter((answer) => answer.endsWith('connect=ok')),
        [],
      );
    });

    test('with --network host a container meets the bus, and the bus turns it away', async () => {
      const node = getNode();
      const said = await eventually('the server speaks', () =>
        node.must(
          'run',
          '--rm',
          '--network',
          'host',
          testImage,
          'sh',
          '-c',
          `(printf 'CONNECT {"verbose":true}\\r\\nPING\\r\\n'; sleep 1) | nc 127.0.0.1 ${node.natsPort}`,
        ),
      );
      assert.match(said, /Authorization Violation/);
    });
  },
  { outside: true },
);

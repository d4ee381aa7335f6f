import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { before, test } from 'node:test';
import { describeOnCluster, type CommandResult } from '@gantry/test-harness';
import { sleeper, untilRunning } from './observe.js';

const gantry = fileURLToPath(new URL('../../../bin/gantry', import.meta.url));

describeOnCluster('the api from outside', ['worker'], (getCluster) => {
  let admin = '';
  let reader = '';
  before(async () => {
    const create = async (name: string, role: string): Promise<string> => {
      const output = await getCluster().must('api-token', 'create', '--role', role, name);
      const token = /ga1\.[\w.-]+/.exec(output)?.[0];
      assert.ok(token, output);
      return token;
    };
    admin = await create('deployer', 'admin');
    reader = await create('viewer', 'read');
  });

  /** The command line on a machine that is no node: it has a network and an environment, no socket. */
  const from = (
    words: readonly string[],
    { token = admin, host = 0, more = {} }: { token?: string; host?: number; more?: object } = {},
  ): Promise<CommandResult> =>
    getCluster().network.namespace.run(gantry, words, {
      environment: {
        HOME: getCluster().directory,
        XDG_CONFIG_HOME: getCluster().directory,
        GANTRY_HOST: `tcp://${getCluster().addressOf(host)}:4330`,
        GANTRY_TOKEN: token,
        ...more,
      },
    });

  test('with an admin token everything works as on the node: deploy, list, logs, remove', async () => {
    const cluster = getCluster();
    const file = cluster.writeFile('remote.yaml', sleeper('app', 2));
    const deployed = await from(['stack', 'deploy', '-c', file, '--detach=false', 'remote']);
    assert.equal(deployed.code, 0, deployed.stderr);
    await untilRunning(cluster, 'remote', 2);
    const listed = await from(['service', 'ls']);
    assert.match(listed.stdout, /remote_app/);
    const nodes = await from(['node', 'ls']);
    assert.match(nodes.stdout, /host1[\s\S]*host2/);
    const logs = await from(['service', 'logs', 'remote_app']);
    assert.match(logs.stdout, /ready/);
    const removed = await from(['stack', 'rm', 'remote']);
    assert.equal(removed.code, 0, removed.stderr);
  });

  test('a read token reads and changes nothing', async () => {
    const read = await from(['node', 'ls'], { token: reader });
    assert.equal(read.code, 0, read.stderr);
    const file = getCluster().writeFile('denied.yaml', sleeper('app', 1));
    for (const words of [
      ['stack', 'deploy', '-c', file, 'denied'],
      ['node', 'drain', 'host2'],
      ['cluster', 'token'],
      ['run', '--rm', 'test.gantry/box:1', 'true'],
    ]) {
      const { code, stderr } = await from(words, { token: reader });
      assert.notEqual(code, 0, words.join(' '));
      assert.match(stderr, /read|permission|may not/, words.join(' '));
    }
    assert.doesNotMatch(await getCluster().must('stack', 'ls'), /denied/);
  });

  test('without a token, with a wrong one or a revoked one nobody is let in', async () => {
    const revoked =
      /ga1\.[\w.-]+/.exec(await getCluster().must('api-token', 'create', '--role', 'admin', 'gone'))?.[0] ??
      '';
    await getCluster().must('api-token', 'rm', 'gone');
    for (const token of ['', `${admin.slice(0, -4)}aaaa`, revoked]) {
      const { code, stderr } = await from(['node', 'ls'], { token });
      assert.notEqual(code, 0, token);
      assert.match(stderr, /token/);
    }
  });

  test('a server that is not of the cluster that the token names is not spoken to', async () => {
    const forged = admin.replace(/^ga1\.[0-9a-f]{64}/, `ga1.${'0'.repeat(64)}`);
    const { code, stderr } = await from(['node', 'ls'], { token: forged });
    assert.notEqual(code, 0);
    assert.match(stderr, /certificate|cluster/);
  });

  test("a worker's door serves its own containers, and sends questions about the cluster to a control node", async () => {
    const own = await from(['ps'], { host: 1 });
    assert.equal(own.code, 0, own.stderr);
    const cluster = await from(['node', 'ls'], { host: 1 });
    assert.equal(cluster.code, 1);
    assert.match(cluster.stderr, /worker; ask a control node/);
  });

  test('a context keeps address and token for the next commands', async () => {
    const none = { more: { GANTRY_HOST: undefined, GANTRY_TOKEN: undefined } };
    const address = `tcp://${getCluster().addressOf(0)}:4330`;
    const created = await from(['context', 'create', 'lab', '--host', address, '--token', admin], none);
    assert.equal(created.code, 0, created.stderr);
    assert.equal((await from(['context', 'use', 'lab'], none)).code, 0);
    const nodes = await from(['node', 'ls'], none);
    assert.equal(nodes.code, 0, nodes.stderr);
    assert.match((await from(['context', 'ls'], none)).stdout, /lab/);
    assert.equal((await from(['context', 'rm', 'lab'], none)).code, 0);
  });

  test('the audit log says who did what, from the socket and with which token', async () => {
    const file = getCluster().writeFile('audited.yaml', sleeper('app', 1));
    await getCluster().must('stack', 'deploy', '-c', file, 'audited');
    assert.equal((await from(['stack', 'rm', 'audited'])).code, 0);
    const audit = await getCluster().must('cluster', 'audit');
    const line = (operation: string): string =>
      audit.split('\n').find((one) => one.includes(operation) && one.includes('audited')) ?? '';
    assert.match(line('DeployStack'), new RegExp(`root on ${getCluster().nodeId(0)}`));
    assert.match(line('RemoveStack'), /token deployer/);
  });

  test('no answer carries a secret: no token, no key, no credential', async () => {
    const cluster = getCluster();
    const { stdout } = await from(['api-token', 'ls']);
    assert.ok(!stdout.includes(admin.split('.').at(-1) ?? ''));
    const key = readFileSync(join(cluster.host(0).stateDirectory, 'cluster/node.key'), 'utf8');
    assert.match(key, /PRIVATE KEY/);
    const credential = { registry: 'registry.test', username: 'robot', password: 'a-password-in-the-clear' };
    await cluster.deploy('secretive', sleeper('app', 1));
    const [task] = await cluster.listTasks('secretive');
    const put = await cluster
      .host(0)
      .api('PUT', '/v1/stacks/secretive', { services: [task?.spec], credentials: [credential] });
    assert.equal(put.status, 200, JSON.stringify(put.body));
    assert.doesNotMatch(JSON.stringify(put.body), /a-password-in-the-clear/);
    for (const path of [
      ...['/v1/cluster', '/v1/nodes', '/v1/api-tokens', '/v1/cluster/audit', '/v1/stacks', '/v1/tasks'],
      ...['/v1/services/secretive_app', '/v1/stacks/secretive/tasks', '/v1/stacks/secretive/services'],
    ]) {
      const text = JSON.stringify(await cluster.get(path));
      assert.doesNotMatch(
        text,
        /a-password-in-the-clear|PRIVATE KEY|gj1\.|ga1\.\w{64}\.\w+\.\w+|secretSha256":"[0-9a-f]/,
      );
    }
  });
});

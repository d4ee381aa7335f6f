import assert from 'node:assert/strict';
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assertNothingLeft, eventually, skipUnlessRoot, TestCluster } from '@gantry/test-harness';
import { askToJoin } from './join-request.js';
import { assertAlive, holds, readPids, sleeper, untilRunning } from './observe.js';

const hour = 3_600_000;

/** One story from bare hosts to three control nodes: the tests follow each other. */
describe('joining', { skip: skipUnlessRoot }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start();
  });
  after(() => cluster.destroy());

  const clusterDirectory = (host: number): string => join(cluster.host(host).stateDirectory, 'cluster');

  /** The host is in no cluster, and the cluster has the nodes it had. */
  async function assertNothingHalfDone(host: number, nodes: number): Promise<void> {
    assert.equal(existsSync(join(clusterDirectory(host), 'membership.json')), false);
    assert.equal((await cluster.listNodes()).length, nodes);
    assert.match(await cluster.host(host).must('cluster', 'info'), /no cluster/);
  }

  /** What somebody kept of a worker's files. */
  const worker = (): string => join(cluster.directory, 'worker');

  async function assertRefused(host: number, token: string, sentence: RegExp): Promise<void> {
    const { code, stderr } = await cluster.tryJoin(host, token);
    assert.equal(code, 1, stderr);
    assert.match(stderr, sentence);
    assert.equal(stderr.trim().split('\n').length, 1, `one error: ${stderr}`);
    await assertNothingHalfDone(host, (await cluster.listNodes()).length);
  }

  test('a node outside every cluster says so, and a worker cannot be asked for what control does', async () => {
    const { code, stderr } = await cluster.gantry(['node', 'ls']);
    assert.equal(code, 1);
    assert.match(stderr, /no cluster/);
  });

  test('one node alone is a cluster of one that runs stacks', async () => {
    await cluster.init();
    await cluster.waitUntilReady([0], 1);
    await cluster.deploy('first', sleeper('app', 2));
    await untilRunning(cluster, 'first', 2);
    const second = await cluster.gantry(['cluster', 'init', '--address', cluster.addressOf(0)]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /already/);
  });

  /** The shortest life of a token is a minute: made here, tried when the others are done. */
  let shortToken = '';
  let shortTokenMade = 0;
  test('a token lives for a minute at least', async () => {
    const { code, stderr } = await cluster.gantry(['cluster', 'token', '--ttl', '1s']);
    assert.equal(code, 1);
    assert.match(stderr, /60/);
    shortToken = await cluster.createToken('worker', { ttl: '60s' });
    shortTokenMade = performance.now();
  });

  test('a wrong token is refused, and so is one that was changed on its way', async () => {
    const token = await cluster.createToken('worker');
    const cut = token.slice(0, -4);
    await assertRefused(1, `${cut}${token.endsWith('aaaa') ? 'bbbb' : 'aaaa'}`, /token/);
    await assertRefused(1, 'gj1.worker.nonsense', /token/);
  });

  test('the token of another cluster is refused before anything is sent to it', async () => {
    const other = cluster.host(2);
    await other.must('cluster', 'init', '--address', cluster.addressOf(2));
    const token = await eventually('the other cluster gives a token', () =>
      cluster.createToken('worker', { on: 2 }),
    );
    await assertRefused(1, token, /another cluster|certificate/);
    await other.must('cluster', 'leave', '--force');
    assert.equal(existsSync(clusterDirectory(2)), false);
  });

  test('clocks an hour apart, another version and a node id that is taken are refused, each with its reason', async () => {
    const cases = [
      [{ clockUnixMs: Date.now() - hour }, /clock of node feedfeedfeedfeed is 3\d{3} s behind/],
      [{ clockUnixMs: Date.now() + hour }, /clock/],
      [{ version: '99.0.0' }, /runs gantry 99\.0\.0, the cluster/],
      [{ nodeId: cluster.nodeId(0) }, new RegExp(`${cluster.nodeId(0)}.*(taken|already)`)],
      [{ certificateRequest: 'nonsense' }, /certificate/],
      [{ address: '' }, /address/],
    ] as const;
    for (const [changes, sentence] of cases) {
      const { status, body } = await askToJoin(cluster, await cluster.createToken('worker'), changes);
      assert.ok(status >= 400 && status < 500, `${status} ${JSON.stringify(body)}`);
      assert.match(JSON.stringify(body), sentence);
      assert.equal((await cluster.listNodes()).length, 1);
    }
  });

  test('a refused join does not use its token up, and a used token is refused', async () => {
    const token = await cluster.createToken('worker');
    const { status } = await askToJoin(cluster, token, { version: '99.0.0' });
    assert.ok(status >= 400);
    const joined = await cluster.tryJoin(1, token);
    assert.equal(joined.code, 0, joined.stderr);
    await cluster.waitUntilReady([0, 1]);
    assert.equal((await cluster.listNodes()).length, 2);
    await assertRefused(2, token, /used/);
  });

  test('a worker refuses what only control nodes answer', async () => {
    const { code, stderr } = await cluster.gantry(['node', 'ls'], { on: 1 });
    assert.equal(code, 1);
    assert.match(stderr, /worker; ask a control node/);
  });

  test('a worker that is ready is removed by force alone; then its keys let it in no more', async () => {
    const refused = await cluster.gantry(['node', 'rm', 'host2']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /host2 is still there.*--force/);
    await cluster.must('node', 'rm', '--force', 'host2');
    assert.equal((await cluster.listNodes()).length, 1);
    // Everything it needs to connect is still on its disk.
    await cluster.killGantryd(1);
    await cluster.host(1).startAll();
    assert.ok(existsSync(join(clusterDirectory(1), 'node.key')));
    await holds(4_000, async () => assert.equal((await cluster.listNodes()).length, 1));
    assert.match(await cluster.host(1).must('cluster', 'info'), /Connected: +no/);
    await cluster.host(1).must('cluster', 'leave', '--force');
    assert.equal(existsSync(clusterDirectory(1)), false);
    await cluster.join(1, 'worker');
    await cluster.waitUntilReady([0, 1]);
  });

  test('a node that leaves is forgotten on both sides, and may join again', async () => {
    await cluster.must('service', 'scale', 'first_app=4');
    await untilRunning(cluster, 'first', 4);
    cpSync(clusterDirectory(1), worker(), { recursive: true });
    await cluster.host(1).must('cluster', 'leave');
    assert.equal(existsSync(clusterDirectory(1)), false);
    assert.equal((await cluster.listNodes()).length, 1);
    assert.equal(await cluster.host(1).must('ps', '-a', '-q'), '');
    await untilRunning(cluster, 'first', 4);
  });

  test('a second control node waits until there is a third, and the store goes from one to three as it is', async () => {
    const services = await cluster.must('service', 'ls');
    const tasks = (await cluster.runningTasks('first')).map(({ id }) => id).sort();
    const pids = await readPids(cluster, 0);
    await cluster.join(1, 'control');
    const waiting = await cluster.readCluster();
    assert.deepEqual([waiting.controlNodes, waiting.controlNodesPending], [1, 1]);
    assert.match(await cluster.must('node', 'ls'), /pending/);
    await cluster.join(2, 'control');
    await eventually(
      'three control nodes take part',
      async () => (await cluster.readCluster()).controlNodes === 3,
      40_000,
    );
    for (const host of [0, 1, 2]) await cluster.waitUntilReady([0, 1, 2], 3, host);
    assertAlive(pids, 'while the store moved');
    assert.deepEqual((await untilRunning(cluster, 'first', 4)).map(({ id }) => id).sort(), tasks);
    assert.equal(await cluster.host(2).must('service', 'ls'), services);
    await cluster.deploy('second', sleeper('app', 3));
  });

  test("a worker's certificate does not make a route between control nodes", async () => {
    const at = (name: string): string => join(worker(), name);
    const { stdout } = await cluster.network.namespace.run(
      'openssl',
      [
        ...['s_client', '-quiet', '-connect', `${cluster.addressOf(0)}:4324`],
        ...['-cert', at('node.pem'), '-key', at('node.key'), '-CAfile', at('ca.pem')],
      ],
      { input: 'CONNECT {"verbose":false,"name":"intruder"}\r\nPING\r\n', timeoutMs: 10_000 },
    );
    assert.match(stdout, /Authorization/);
    assert.doesNotMatch(stdout, /PONG/);
  });

  test('a token that has ended is refused', async () => {
    await eventually('the minute is over', () => performance.now() - shortTokenMade > 61_000, 65_000);
    const { status, body } = await askToJoin(cluster, shortToken);
    assert.equal(status, 403, JSON.stringify(body));
    assert.match(JSON.stringify(body), /expired|ended/);
    assert.equal((await cluster.listNodes()).length, 3);
  });

  test('everything goes when the nodes go down', async () => {
    await cluster.removeStacks();
    for (const host of [...cluster.hosts].reverse()) assertNothingLeft(await host.stop(), host);
  });
});

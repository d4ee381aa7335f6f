// A real Prometheus beside three hosts: it knows one control node, a metrics token and the cluster's CA, and finds the rest.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  TestPrometheus,
  clusterConfiguration,
  describeOnCluster,
  eventually,
  findEmptyPanels,
  readPanelQueries,
  testImage,
  type TestCluster,
} from '@gantry/test-harness';

const onEveryNode = ['api', 'cgroup-supervisor', 'image-store', 'network-manager', 'node-agent', 'spawner'];

/** "host1/api", ...: the first host has control too. */
const instancesOf = (cluster: TestCluster): readonly string[] =>
  cluster.hosts.flatMap((_host, index) =>
    [...onEveryNode, ...(index === 0 ? ['control'] : [])].map((service) => `host${index + 1}/${service}`),
  );

const shop = `
services:
  web:
    image: ${testImage}
    command: ['httpd', '-f', '-h', '/www']
    stop_signal: SIGKILL
    healthcheck: { test: ['CMD', 'true'], interval: 1s }
    deploy:
      replicas: 3
      resources: { limits: { cpus: '0.5', memory: 64M } }
  client:
    image: ${testImage}
    command: ['sh', '-c', 'while :; do wget -qO /dev/null http://web/; sleep 0.1; done']
    stop_signal: SIGKILL
    deploy:
      mode: global
      resources: { limits: { cpus: '0.2' } }
`;

async function createToken(cluster: TestCluster): Promise<string> {
  const output = await cluster.must('api-token', 'create', '--role', 'metrics', 'prometheus');
  const token = /ga1\.[\w.-]+/.exec(output)?.[0];
  assert.ok(token, output);
  return token;
}

describeOnCluster('graphs of three nodes', ['worker', 'worker'], (getCluster) => {
  let prometheus: TestPrometheus;

  before(async () => {
    const cluster = getCluster();
    prometheus = await TestPrometheus.start({
      directory: join(cluster.directory, 'prometheus'),
      network: cluster.network.namespace,
      configuration: clusterConfiguration([cluster.addressOf(0)]),
      files: {
        'gantry/token': await createToken(cluster),
        'gantry/ca.pem': readFileSync(join(cluster.host(0).stateDirectory, 'cluster/ca.pem'), 'utf8'),
      },
    });
  });
  after(() => prometheus.stop());

  test('every service of every node is found and can be read, under its labels', async () => {
    const cluster = getCluster();
    await prometheus.untilTargetsUp(instancesOf(cluster));
    for (const { labels, scrapeUrl } of await prometheus.targets()) {
      const index = Number(labels['hostname']?.replace('host', '')) - 1;
      const service = labels['service'] ?? '';
      assert.equal(labels['node'], cluster.nodeId(index));
      assert.equal(labels['role'], index === 0 ? 'control' : 'worker');
      assert.equal(scrapeUrl, `https://${cluster.addressOf(index)}:4330/v1/metrics/${service}`);
    }
  });

  test('every query of every dashboard returns data, and figures of containers can be had by service, wherever they run', async () => {
    const cluster = getCluster();
    await cluster.deploy('shop', shop);
    const queries = readPanelQueries();
    assert.ok(queries.length > 120, `${queries.length} queries`);
    await eventually(
      'every panel shows something',
      async () => {
        // Histograms need something to measure while Prometheus looks.
        await cluster.must('run', '--rm', testImage, 'true');
        const empty = await findEmptyPanels(prometheus, queries);
        if (empty.length > 0) throw new Error(`panels without data:\n${empty.join('\n')}`);
        return true;
      },
      60_000,
    );
    const [sum, tasks] = await prometheus.query([
      'stack_service:container_memory_working_set_bytes:sum{stack="shop",service="web"}',
      'container_memory_working_set_bytes{name=~"shop_web[.].+"}',
    ]);
    assert.deepEqual(tasks?.map(({ metric }) => metric['hostname']).sort(), ['host1', 'host2', 'host3']);
    assert.ok((sum?.[0]?.value ?? 0) > 100_000, 'three web servers have no memory');
  });

  test('what cannot run raises alerts: no node fits, a service is down, a roll-out stops half-way', async () => {
    const cluster = getCluster();
    await cluster.deploy('shop', shop);
    const impossible = cluster.writeFile(
      'nowhere.yaml',
      `services: { app: { image: '${testImage}', deploy: { placement: { constraints: ['node.labels.moon == yes'] } } } }`,
    );
    await cluster.must('stack', 'deploy', '-c', impossible, 'nowhere');
    await prometheus.untilFiring('GantryTasksUnplaced');
    await prometheus.untilFiring('GantryServiceBelowWanted', { stack: 'nowhere' });
    await prometheus.untilFiring('GantryServiceDown', { stack: 'nowhere', service: 'app' });
    await cluster.gantry(['service', 'update', '--image', '127.0.0.1:1/nobody/nothing:1', 'shop_web']);
    await prometheus.untilFiring('GantryRolloutPaused', {}, 60_000);
  });

  test('gantryd that is away raises an alert for its node alone, which ends when it is back', async () => {
    const cluster = getCluster();
    await cluster.killGantryd(1);
    await prometheus.untilFiring('GantryNodeRestarting', { hostname: 'host2' });
    await prometheus.untilFiring('GantryNodeSilent', { hostname: 'host2' });
    const firing = await prometheus.alerts();
    assert.ok(firing.every(({ labels }) => labels['alertname'] !== 'GantryNodeLost'));
    await cluster.host(1).startAll();
    await cluster.waitUntilReady([0, 1, 2]);
    await eventually(
      'the alerts end',
      async () => {
        const left = await prometheus.alerts();
        return left.every(({ labels }) => !/^GantryNode(Restarting|Silent)$/.test(labels['alertname'] ?? ''));
      },
      30_000,
    );
  });

  test('a host that dies outright raises the alerts of a lost node', async () => {
    const cluster = getCluster();
    await cluster.killHost(2);
    await prometheus.untilFiring('GantryNodeLost', { hostname: 'host3', node: cluster.nodeId(2) });
    await prometheus.untilFiring('GantryNodeSilent', { hostname: 'host3' });
    await prometheus.untilFiring('GantryTargetDown', { instance: 'host3/api' });
    await cluster.bringBack(2);
    await cluster.waitUntilReady([0, 1, 2]);
    await prometheus.untilTargetsUp(instancesOf(cluster));
  });

  test('control that is away raises the alerts of a cluster without a leader and of leases not renewed', async () => {
    const cluster = getCluster();
    await cluster.killGantryd(0);
    await prometheus.untilFiring('GantryControlWithoutLeader');
    await prometheus.untilFiring('GantryLeaseNotRenewed', { hostname: 'host2' });
    await prometheus.untilFiring('GantryLeaseNotRenewed', { hostname: 'host3' });
    await cluster.host(0).startAll();
    await cluster.waitUntilReady([0, 1, 2]);
    await prometheus.untilTargetsUp(instancesOf(cluster));
  });
});

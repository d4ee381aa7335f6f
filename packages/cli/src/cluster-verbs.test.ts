import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { GantryUnderTest } from './testing/command-line.js';
import { nodeDocument, progressDocument, taskDocument } from './testing/cluster-documents.js';
import { document, failure, ScriptedApi } from './testing/scripted-api.js';

let api: ScriptedApi;
let gantry: GantryUnderTest;

before(async () => {
  api = await ScriptedApi.start();
  gantry = new GantryUnderTest(api.runDirectory);
});
after(() => api.stop());
beforeEach(() => {
  api.script = {};
  api.asked.length = 0;
});

async function must(...words: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await gantry.run(words);
  assert.equal(exitCode, 0, stderr);
  return stdout;
}

async function refused(...words: string[]): Promise<string> {
  const { exitCode, stderr } = await gantry.run(words);
  assert.equal(exitCode, 1, stderr);
  return stderr;
}

const nodes = {
  nodes: [
    nodeDocument('two', { condition: 'NODE_CONDITION_LOST', record: { labels: { zone: 'eu' } } }),
    nodeDocument('one', { leader: true, record: { role: 'NODE_ROLE_CONTROL' } }),
    nodeDocument('three', {
      record: { controlPending: true, availability: 'AVAILABILITY_DRAIN' },
    }),
  ],
};

test('a cluster is made, and what to say on the machines that join is told', async () => {
  api.script = { 'POST /v1/cluster/init': document({ clusterId: 'c1', address: '192.0.2.11' }) };
  const output = await must('cluster', 'init', '--address', '192.0.2.11');
  assert.deepEqual(api.bodyOf('POST /v1/cluster/init'), { address: '192.0.2.11' });
  assert.match(output, /cluster c1 is made/);
  assert.match(output, /gantry cluster join 192\.0\.2\.11 --token TOKEN/);
});

test('a token is printed with the whole command that uses it, or alone', async () => {
  const token = `gj1.control.${'a'.repeat(64)}.b.c`;
  api.script = {
    'POST /v1/cluster/tokens': document({
      token,
      addresses: ['192.0.2.11:4330'],
      expiresUnixMs: Date.now() + 7_200_000,
    }),
  };
  const output = await must('cluster', 'token', '--control', '--ttl', '2h');
  assert.deepEqual(api.bodyOf('POST /v1/cluster/tokens'), { role: 'control', ttlSeconds: 7200 });
  assert.match(
    output,
    new RegExp(`^${token}\n[^]*gantry cluster join 192\\.0\\.2\\.11:4330 --token ${token}`),
  );
  assert.equal(await must('cluster', 'token', '-q'), `${token}\n`);
  assert.deepEqual(api.bodyOf('POST /v1/cluster/tokens'), { role: 'worker', ttlSeconds: 86_400 });
  assert.match(await refused('cluster', 'token', '--ttl', 'soon'), /--ttl: "soon" is not a duration/);
});

test('a node joins and leaves; what is refused is one sentence', async () => {
  api.script = {
    'POST /v1/cluster/join': document({ clusterId: 'c1', role: 'NODE_ROLE_WORKER', controlPending: true }),
    'POST /v1/cluster/leave': document(undefined),
  };
  const joined = await must('cluster', 'join', '192.0.2.11', '--token', 'gj1.x', '--address', '192.0.2.12');
  assert.match(joined, /in cluster c1 as a worker, and becomes a control node/);
  assert.deepEqual(api.bodyOf('POST /v1/cluster/join'), {
    controlAddress: '192.0.2.11',
    token: 'gj1.x',
    address: '192.0.2.12',
  });
  assert.match(await refused('cluster', 'join', '192.0.2.11'), /--token/);
  await must('cluster', 'leave', '--force');
  assert.deepEqual(api.bodyOf('POST /v1/cluster/leave'), { force: true });
  api.script = { 'POST /v1/cluster/join': failure(403, 'permission_denied', 'this token was used already') };
  assert.equal(
    await refused('cluster', 'join', '192.0.2.11', '--token', 'gj1.x'),
    'gantry cluster: this token was used already\n',
  );
});

test('the info tells where the node is, also in no cluster and without control', async () => {
  const membership = {
    nodeId: 'n1',
    clusterId: 'c1',
    role: 'NODE_ROLE_CONTROL',
    controlPending: false,
    address: '192.0.2.11',
    connected: true,
    leaderNodeId: 'n1',
    frozenReason: '',
    apiPort: 4330,
    tasks: 2,
  };
  const cluster = {
    controlNodes: 1,
    controlNodesPending: 1,
    workers: 2,
    services: 3,
    tasks: 9,
    tasksRunning: 8,
  };
  api.script = {
    'GET /v1/cluster/membership': document(membership),
    'GET /v1/cluster': document({ ...cluster, frozenReason: 'the store is older than what was seen' }),
  };
  const output = await must('cluster', 'info');
  assert.match(output, /^Cluster: +c1\nNode: +n1, control node\n/);
  assert.match(output, /Nodes: +1 control \(1 pending until there are 3\), 2 workers/);
  assert.match(output, /Frozen: +the store is older/);
  assert.equal(await must('cluster', 'info', '--format', '{{.cluster.tasks}}'), '9\n');
  api.script = { 'GET /v1/cluster/membership': document(membership) };
  const alone = await gantry.run(['cluster', 'info']);
  assert.equal(alone.exitCode, 0);
  assert.match(alone.stdout, /n1/);
  assert.match(alone.stderr, /control does not answer/);
  api.script = { 'GET /v1/cluster/membership': document({ ...membership, clusterId: '' }) };
  assert.match(await must('cluster', 'info'), /in no cluster/);
});

test('a store is accepted only by who says that it is meant', async () => {
  api.script = { 'POST /v1/cluster/accept-store': document({ storeGeneration: 4 }) };
  assert.match(await refused('cluster', 'accept-store'), /--yes/);
  assert.equal(api.asked.length, 0);
  assert.match(await must('cluster', 'accept-store', '--yes'), /generation 4/);
});

test('the audit log and events are shown', async () => {
  api.script = {
    'GET /v1/cluster/audit': document({
      entries: [
        {
          timeUnixMs: 1_700_000_000_000,
          actor: 'token deployer',
          operation: 'DeployStack',
          object: 'shop',
          result: 'ok',
          requestId: 'r1',
        },
      ],
    }),
    'GET /v1/cluster/events': {
      lines: [
        { timeUnixNanos: 1_700_000_000_000_000_000, type: 'node', action: 'lost', id: 'n2', attributes: [] },
        {
          timeUnixNanos: 1_700_000_000_000_000_000,
          type: 'task',
          action: 'placed',
          id: 't1',
          attributes: [],
        },
      ],
    },
  };
  assert.match(
    await must('cluster', 'audit', '-n', '5'),
    /^TIME +ACTOR +OPERATION +OBJECT +RESULT +REQUEST\n2023-11-14 22:13:20 \+0000 UTC +token deployer +DeployStack +shop +ok +r1\n$/,
  );
  assert.equal(api.asked.at(-1)?.line, 'GET /v1/cluster/audit?limit=5');
  assert.equal(
    await must('cluster', 'events', '--filter', 'type=node'),
    '2023-11-14T22:13:20.000000000Z node lost n2\n',
  );
});

test('nodes are listed with their role, the leader among them, and filtered', async () => {
  api.script = { 'GET /v1/nodes': document(nodes) };
  const lines = (await must('node', 'ls')).split('\n');
  assert.match(lines[0] ?? '', /^ID +HOSTNAME +STATUS +AVAILABILITY +ROLE +ADDRESS +VERSION$/);
  assert.match(lines[1] ?? '', /^id-of-one +one +Ready +Active +control \(leader\) +192\.0\.2\.3 +0\.1\.0$/);
  assert.match(lines[2] ?? '', /^id-of-three +three +Ready +Drain +worker \(control pending\)/);
  assert.match(lines[3] ?? '', /^id-of-two +two +Lost +Active +worker /);
  assert.equal(await must('node', 'ls', '-q', '--filter', 'label=zone=eu'), 'id-of-two\n');
  assert.equal(await must('node', 'ls', '--filter', 'role=control', '--format', '{{.Hostname}}'), 'one\n');
  assert.match(await refused('node', 'ls', '--filter', 'mood=good'), /"mood" is not done; id, name, label/);
});

test('nodes are labelled, drained, activated, inspected and removed', async () => {
  api.script = {
    'PATCH /v1/nodes/two': document(nodeDocument('two')),
    'DELETE /v1/nodes/two': document(undefined),
    'GET /v1/nodes/two': document(nodeDocument('two')),
  };
  assert.equal(
    await must('node', 'update', 'two', '--label-add', 'a=b', '--label', 'c=d', '--label-rm', 'e'),
    'two\n',
  );
  assert.deepEqual(api.bodyOf('PATCH'), { labelsAdd: { a: 'b', c: 'd' }, labelsRemove: ['e'] });
  await must('node', 'drain', 'two');
  assert.deepEqual(api.bodyOf('PATCH'), { availability: 'drain' });
  await must('node', 'activate', 'two');
  assert.deepEqual(api.bodyOf('PATCH'), { availability: 'active' });
  assert.equal(await must('node', 'inspect', '-f', '{{.record.address}}', 'two'), '192.0.2.3\n');
  await must('node', 'rm', '--force', 'two');
  assert.equal(api.asked.at(-1)?.line, 'DELETE /v1/nodes/two?force=true');
  assert.match(await refused('node', 'update', 'two'), /nothing to change/);
  assert.match(await refused('node', 'update', 'two', '--label', 'novalue'), /not of the form NAME=VALUE/);
});

test('services and stacks are listed as docker does', async () => {
  const services = [
    progressDocument(),
    progressDocument({ name: 'db', mode: 'SERVICE_MODE_GLOBAL', ports: [] }),
  ];
  api.script = {
    'GET /v1/services': document({ services }),
    'GET /v1/stacks/shop/services': document({ services }),
    'GET /v1/stacks': document({
      stacks: [
        {
          name: 'shop',
          services: 2,
          tasksWanted: 6,
          tasksRunning: 5,
          updatedUnixMs: Date.now() - 60_000,
          version: 3,
        },
      ],
    }),
  };
  const table = await must('service', 'ls');
  assert.match(
    table,
    /^ID +NAME +MODE +REPLICAS +IMAGE +PORTS\nserviceaaaaa +shop_db +global +2\/3 +shop\/web:4 +\nserviceaaaaa +shop_web +replicated +2\/3 +shop\/web:4 +\*:8080\/tcp\n$/,
  );
  assert.equal(await must('stack', 'services', 'shop'), table);
  assert.match(
    await must('stack', 'ls'),
    /^NAME +SERVICES +TASKS +UPDATED\nshop +2 +5\/6 +About a minute ago\n$/,
  );
  assert.equal(await must('stack', 'ls', '-q'), 'shop\n');
});

test('tasks are listed slot by slot, those before them indented, with where they are and why they are not', async () => {
  const tasks = [
    taskDocument(2, '', {
      status: undefined,
      placementMessage: 'no node fits: 3 of 3 do not fit the constraint node.labels.moon == full',
    }),
    taskDocument(1, 'id-of-one', {
      id: 'oldaaaaaaaaaaaaaaaaaaaaaa',
      desired: 'DESIRED_STATE_SHUTDOWN',
      state: 'TASK_STATE_FAILED',
      error: 'exit code 3',
    }),
    taskDocument(1, 'id-of-two'),
  ];
  api.script = {
    'GET /v1/nodes': document(nodes),
    'GET /v1/services/shop_web/tasks': document({ tasks }),
    'GET /v1/stacks/shop/tasks': document({ tasks }),
  };
  const lines = (await must('service', 'ps', '--no-trunc', 'shop_web')).split('\n');
  assert.match(lines[0] ?? '', /^ID +NAME +IMAGE +NODE +DESIRED STATE +CURRENT STATE +ERROR +PORTS$/);
  assert.match(
    lines[1] ?? '',
    / shop_web\.1 +shop\/web:4 +two +Running +Running 3 minutes ago +\*:8080->80\/tcp$/,
  );
  assert.match(
    lines[2] ?? '',
    / {2}\\_ shop_web\.1 +shop\/web:4 +one +Shutdown +Failed 3 minutes ago +exit code 3 /,
  );
  assert.match(lines[3] ?? '', / shop_web\.2 .* Pending .*no node fits: .*moon == full/);
  assert.match(await must('stack', 'ps', 'shop'), /no node fits: .*…/);
  assert.equal(
    await must('stack', 'ps', '-q', '--no-trunc', '--filter', 'desired-state=shutdown', 'shop'),
    'oldaaaaaaaaaaaaaaaaaaaaaa\n',
  );
});

test('services are scaled, updated, rolled back and removed', async () => {
  api.script = {
    'PATCH /v1/services/web': document({}),
    'PATCH /v1/services/api': document({}),
    'DELETE /v1/services/web': document(undefined),
    'GET /v1/services/web': document({ service: { spec: { replicas: 2 } } }),
    'GET /v1/services/web/rollout': {
      lines: [{ services: [progressDocument({ running: 3 })], converged: true, failed: '' }],
    },
  };
  assert.equal(await must('service', 'scale', 'web=3', 'api=0'), 'web scaled to 3\napi scaled to 0\n');
  assert.match(await refused('service', 'scale', 'web=3', 'api=many'), /"many" is not a whole number/);
  assert.match(await refused('service', 'scale', 'web'), /SERVICE=REPLICAS/);
  assert.equal(api.asked.length, 2);
  await must('service', 'update', '--image', 'shop/web:5', '--force', 'web');
  assert.deepEqual(api.bodyOf('PATCH'), { image: 'shop/web:5', force: true });
  const shown = await must('service', 'update', '--rollback', '--detach=false', 'web');
  assert.deepEqual(api.bodyOf('PATCH'), { rollback: true });
  assert.equal(shown, 'web\nshop_web: 3/3 running, running\n');
  assert.match(await refused('service', 'update', 'web'), /nothing to change/);
  assert.equal(await must('service', 'inspect', '-f', '{{.service.spec.replicas}}', 'web'), '2\n');
  assert.equal(await must('service', 'rm', 'web'), 'web\n');
});

test("lines of several tasks are put together, each with its task's name, and those of stderr stay apart", async () => {
  const line = (task: number, stream: string, text: string): unknown => ({
    taskId: `t${task}`,
    taskName: `shop_web.${task}`,
    nodeId: 'id-of-one',
    stream,
    timeUnixNanos: 1_700_000_000_000_000_000,
    data: Buffer.from(text).toString('base64'),
  });
  const script = {
    lines: [
      line(1, 'stdout', 'begin '),
      line(2, 'stdout', 'whole\n'),
      line(1, 'stderr', 'error\n'),
      line(1, 'stdout', 'end\nnext'),
      { warning: 'node two is lost' },
    ],
  };
  api.script = {
    'GET /v1/nodes': document(nodes),
    'GET /v1/services/shop_web/logs': script,
    'GET /v1/stacks/shop/logs': script,
  };
  const { stdout, stderr } = await gantry.run(['service', 'logs', '--tail', '5', '-f', 'shop_web']);
  assert.equal(stdout, 'shop_web.2@one | whole\nshop_web.1@one | begin end\nshop_web.1@one | next\n');
  assert.equal(stderr, 'shop_web.1@one | error\ngantry service: node two is lost\n');
  assert.ok(api.asked.some((one) => one.line === 'GET /v1/services/shop_web/logs?follow=true&tail=5'));
  assert.equal(await must('stack', 'logs', '--no-task-names', 'shop'), 'whole\nbegin end\nnext\n');
  assert.match(
    await must('stack', 'logs', '-t', '--no-task-names', 'shop'),
    /^2023-11-14T22:13:20\.0{9}Z whole\n/,
  );
});

test('tokens for the api are made, listed and revoked', async () => {
  api.script = {
    'POST /v1/api-tokens': document({ token: 'ga1.a.b.c', stored: {} }),
    'GET /v1/api-tokens': document({
      tokens: [
        { id: 'b', name: 'deployer', role: 'admin', createdUnixMs: 1_700_000_000_000, expiresUnixMs: 0 },
      ],
    }),
    'DELETE /v1/api-tokens/deployer': document(undefined),
  };
  assert.equal(
    await must('api-token', 'create', '--role', 'admin', '--ttl', '1h', 'deployer'),
    'ga1.a.b.c\n',
  );
  assert.deepEqual(api.bodyOf('POST'), { name: 'deployer', role: 'admin', ttlSeconds: 3600 });
  await must('api-token', 'create', 'viewer');
  assert.deepEqual(api.bodyOf('POST'), { name: 'viewer', role: 'read', ttlSeconds: 0 });
  assert.match(await refused('api-token', 'create', '--role', 'king', 'x'), /king.*metrics, read, admin/);
  assert.match(
    await must('api-token', 'ls'),
    /^ID +NAME +ROLE +CREATED +EXPIRES\nb +deployer +admin +2023-[^\n]* +never\n$/,
  );
  assert.equal(await must('api-token', 'rm', 'deployer'), 'deployer\n');
});

test('completion knows nodes, stacks, services and what stands below a verb', async () => {
  api.script = {
    'GET /v1/nodes': document(nodes),
    'GET /v1/stacks': document({ stacks: [{ name: 'shop' }] }),
    'GET /v1/services': document({ services: [progressDocument()] }),
  };
  assert.equal(await must('__complete', '--', 'node', 'dr'), 'drain\n');
  assert.equal(await must('__complete', '--', 'node', 'drain', 't'), 'three\ntwo\n');
  assert.equal(await must('__complete', '--', 'stack', 'ps', ''), 'shop\n');
  assert.equal(await must('__complete', '--', 'service', 'logs', 'sh'), 'shop_web\n');
  assert.equal(await must('__complete', '--', 'stack', 'deploy', '--pr'), '--prune\n');
  assert.equal(await must('__complete', '--', 'api-token', 'create', '--role', ''), 'admin\nmetrics\nread\n');
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { targetsOf } from './routes/metrics.js';
import { SocketClient, readAll, type Answer } from './testing/http-client.js';
import { startScriptedNode, type ScriptedNode } from './testing/scripted-node.js';

let running: ScriptedNode;
let client: SocketClient;

before(async () => {
  running = await startScriptedNode();
  client = new SocketClient(running.socketPath);
});
after(() => running.stop());
beforeEach(() => running.cluster.asked.splice(0));

const lastAsked = (): unknown => running.cluster.asked.at(-1);
const linesOf = async (path: string): Promise<unknown[]> =>
  (await readAll(await client.stream('GET', path)))
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

test('what is asked of control says who asked: on the socket, root of this node', async () => {
  const container = { image: 'demo:1', networkAliases: ['front'] };
  const answer = await client.call('PUT', '/v1/stacks/shop', {
    services: [{ name: 'web', mode: 'SERVICE_MODE_REPLICATED', replicas: 2, container }],
  });
  assert.equal(answer.status, 200, answer.text);
  assert.equal((answer.json as { stack: { name: string } }).stack.name, 'shop');
  const asked = lastAsked() as { actor: string; request: { name: string; services: { name: string }[] } };
  assert.equal(asked.actor, 'root on node1');
  assert.equal(asked.request.name, 'shop');
  assert.equal(asked.request.services[0]?.name, 'web');
});

test('people write worker, control, active and drain; messages carry their own names', async () => {
  assert.equal((await client.call('POST', '/v1/cluster/tokens', { role: 'control' })).status, 201);
  assert.deepEqual((lastAsked() as { request: unknown }).request, {
    role: 'NODE_ROLE_CONTROL',
    ttlSeconds: 0,
  });
  const changed = await client.call('PATCH', '/v1/nodes/host-a', {
    availability: 'drain',
    labelsAdd: { disk: 'ssd' },
  });
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual((lastAsked() as { request: unknown }).request, {
    node: 'host-a',
    labelsAdd: { disk: 'ssd' },
    labelsRemove: [],
    availability: 'AVAILABILITY_DRAIN',
  });
  const wrong = await client.call('PATCH', '/v1/nodes/host-a', { availability: 'asleep' });
  assert.equal(wrong.status, 400);
  assert.match(wrong.text, /must be one of \\?"active\\?", \\?"drain\\?"/);
});

test('what a service should not hold is refused by its name, and control is not asked', async () => {
  const answer = await client.call('PUT', '/v1/stacks/shop', {
    services: [{ name: 'web', container: { image: 'x' }, replicas: 1, colour: 'red' }],
  });
  assert.equal(answer.status, 400);
  assert.match(answer.text, /services\.0\.colour/);
  assert.deepEqual(running.cluster.asked, []);
});

test("control's refusal is the answer, with the status of its code", async () => {
  const answer = await client.call('PUT', '/v1/stacks/shop', { services: [], expectedVersion: 7 });
  assert.equal(answer.status, 409);
  assert.match(answer.text, /stack shop was changed meanwhile/);
});

test('lists are whole, a roll-out and logs are lines, and no token shows its hash', async () => {
  const { nodes } = (await client.call('GET', '/v1/nodes')).json as { nodes: unknown[] };
  assert.equal(nodes.length, 2);
  const rollout = (await linesOf('/v1/stacks/shop/rollout')) as { converged: boolean }[];
  assert.deepEqual(
    rollout.map(({ converged }) => converged),
    [false, true],
  );
  assert.deepEqual(await linesOf('/v1/services/shop_web/logs?tail=1'), [
    {
      taskId: 't',
      taskName: 'shop_web.1',
      nodeId: 'a',
      stream: 'stdout',
      timeUnixNanos: 5,
      data: Buffer.from([0xff, 10]).toString('base64'),
    },
    { warning: 'node b is lost' },
  ]);
  assert.doesNotMatch((await client.call('GET', '/v1/api-tokens')).text, /hidden/);
});

test('Prometheus finds a target for each service of each node, and reads its metrics at this door', async () => {
  const groups = (await client.call('GET', '/v1/discovery/prometheus')).json as ReturnType<typeof targetsOf>;
  assert.deepEqual(groups[1], {
    targets: ['192.0.2.1:4330'],
    labels: {
      __metrics_path__: '/v1/metrics/node-agent',
      __scheme__: 'https',
      node: 'b',
      hostname: 'host-b',
      service: 'node-agent',
      role: 'worker',
      instance: 'host-b/node-agent',
    },
  });
  for (let round = 0; round < 2; round += 1) {
    const metrics = await client.call('GET', '/v1/metrics/api');
    assert.equal(metrics.status, 200);
    assert.match(metrics.headers['content-type'] ?? '', /text\/plain/);
    assert.match(metrics.text, /gantry_api_http_request_duration_seconds/);
  }
  const absent = await client.call('GET', '/v1/metrics/nothing');
  assert.equal(absent.status, 404);
  assert.match(absent.text, /no service nothing runs on this node; there are api, image-store, node-agent/);
});

/** The door over TLS, with a token or without; rejects when nobody listens. */
async function outside(
  method: string,
  path: string,
  token?: string,
  body?: unknown,
  port = running.cluster.port,
): Promise<Answer> {
  const sent = request({
    host: '127.0.0.1',
    port,
    method,
    path,
    ca: readFileSync(running.cluster.caFile),
    agent: false,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
  });
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const text = (await readAll(answer)).toString();
  return { status: answer.statusCode ?? 0, headers: answer.headers, text, json: undefined };
}

async function becomeMember(): Promise<void> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  running.cluster.port = (probe.address() as AddressInfo).port;
  probe.close();
  await once(probe, 'close');
  // As every request that may change the membership, also one that fails.
  await client.call('POST', '/v1/cluster/join', { controlAddress: 'x', token: 'y' });
  for (let tries = 0; ; tries += 1) {
    const answer = await outside('GET', '/v1/version', running.cluster.tokens.admin.token).catch(
      () => undefined,
    );
    if (answer?.status === 200) return;
    assert.ok(tries < 100, 'the door over TLS did not open within 5 s');
    await sleep(50);
  }
}

test('a member listens over TLS and asks for a token: an administrator may all, a reader reads', async () => {
  await becomeMember();
  const { admin, read } = running.cluster.tokens;
  const reading = await outside('GET', '/v1/nodes', read.token);
  assert.equal(reading.status, 200, reading.text);
  for (const [token, status, message] of [
    [undefined, 401, /needs a token/],
    ['nonsense', 401, /no api token/],
    [`${admin.token.slice(0, -4)}0000`, 401, /unknown, was revoked or has ended/],
    [read.token, 403, /token the read may read only; POST \/v1\/cluster\/tokens/],
  ] as const) {
    const refused = await outside('POST', '/v1/cluster/tokens', token, {});
    assert.equal(refused.status, status, refused.text);
    assert.match(refused.text, message);
  }
  assert.deepEqual(running.cluster.asked, [], 'nothing of it reached control');
  assert.equal((await outside('POST', '/v1/cluster/tokens', admin.token, {})).status, 201);
  assert.equal((lastAsked() as { actor: string }).actor, 'token the admin');
});

test('a token for metrics reads metrics and where they are, and nothing else, however the path is spelt', async () => {
  await becomeMember();
  const { metrics, owner } = running.cluster.tokens;
  for (const path of ['/v1/metrics/api', '/v1/metrics/api?x=1', '/v1/discovery/prometheus'])
    assert.equal((await outside('GET', path, metrics.token)).status, 200, path);
  for (const [method, path] of [
    ['GET', '/v1/nodes'],
    ['GET', '/v1/services/shop_web/logs'],
    ['GET', '/v1/containers'],
    ['GET', '/v1/api-tokens'],
    ['GET', '/v1/openapi.json'],
    ['GET', '/v1/metrics/../nodes'],
    ['GET', '/v1/metrics/api/../../nodes'],
    ['GET', '//v1/metrics/api'],
    ['GET', '/nothing?/v1/metrics/api'],
    ['HEAD', '/v1/metrics/api'],
    ['POST', '/v1/metrics/api'],
    ['POST', '/v1/cluster/tokens'],
    ['DELETE', '/v1/nodes/a'],
  ] as const) {
    const refused = await outside(method, path, metrics.token);
    assert.equal(refused.status, 403, `${method} ${path}: ${refused.text}`);
    if (method !== 'HEAD') assert.match(refused.text, /token the metrics may read metrics only/);
  }
  const strange = await outside('GET', '/v1/nodes', owner.token);
  assert.equal(strange.status, 403, strange.text);
  assert.match(strange.text, /unknown role/);
  assert.ok(
    running.cluster.asked.every(({ method }) => method === 'ListNodes'),
    'nothing of it reached control',
  );
});

test('a node that joins needs no api token: its join token is inside', async () => {
  await becomeMember();
  const body = { token: 'gj1...', nodeId: 'c', certificateRequest: 'pem', busKey: 'U', clockUnixMs: 1 };
  const answer = await outside('POST', '/v1/cluster/members', undefined, body);
  assert.equal(answer.status, 200, answer.text);
  const asked = lastAsked() as { method: string; actor: string };
  assert.deepEqual([asked.method, asked.actor], ['JoinNode', 'a node that joins']);
});

test('nobody attaches over TLS without an administrator’s token', async () => {
  await becomeMember();
  for (const { token } of [running.cluster.tokens.read, running.cluster.tokens.metrics])
    await attachRefused(token);
});

async function attachRefused(token: string): Promise<void> {
  const sent = request({
    host: '127.0.0.1',
    port: running.cluster.port,
    method: 'POST',
    path: '/v1/containers/any/attach',
    ca: readFileSync(running.cluster.caFile),
    agent: false,
    headers: {
      connection: 'Upgrade',
      upgrade: 'gantry-frames/1',
      authorization: `Bearer ${token}`,
    },
  });
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  assert.equal(answer.statusCode, 403);
  answer.resume();
}

test('the door over TLS closes when the node leaves its cluster', async () => {
  await becomeMember();
  const { port } = running.cluster;
  assert.equal((await client.call('POST', '/v1/cluster/leave', {})).status, 200);
  for (let tries = 0; ; tries += 1) {
    const open = await outside('GET', '/v1/version', undefined, undefined, port).then(
      () => true,
      () => false,
    );
    if (!open) break;
    assert.ok(tries < 100, 'the door over TLS did not close within 5 s');
    await sleep(50);
  }
});

test('an address of IPv6 stands in brackets, and a node without a door is no target', () => {
  const record = { nodeId: 'a', address: '2001:db8::1', apiPort: 4330, hostname: 'h' };
  const status = { hostname: 'h', services: [{ name: 'api', version: '' }] };
  const node = { record, status } as unknown as Parameters<typeof targetsOf>[0];
  assert.deepEqual(targetsOf(node)[0]?.targets, ['[2001:db8::1]:4330']);
  assert.deepEqual(targetsOf({ ...node, record: { ...node.record, apiPort: 0 } } as typeof node), []);
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startApi } from './main.js';
import { answers } from './schemas/answers.js';
import { SocketClient, readAll, splitFrames, type Answer } from './testing/http-client.js';
import { startScriptedNode, type ScriptedNode } from './testing/scripted-node.js';

let running: ScriptedNode;
let client: SocketClient;

before(async () => {
  running = await startScriptedNode();
  client = new SocketClient(running.socketPath);
});
after(() => running.stop());
beforeEach(() => running.agent.containers.clear());

async function create(name: string, command: string[], more: Record<string, unknown> = {}): Promise<string> {
  const answer = await client.call('POST', '/v1/containers', {
    name,
    spec: { image: 'demo:1', command, ...more },
  });
  assert.equal(answer.status, 201, answer.text);
  return (answer.json as { id: string }).id;
}

const lines = (text: string): unknown[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    assert.ok(tries < 200, 'it did not happen within 2 s');
    await sleep(10);
  }
}

test('the life of a container is one request a step', async () => {
  const id = await create('web', ['sleep'], { ports: [{ hostPort: 8080, containerPort: 80 }] });
  assert.equal((await client.call('POST', '/v1/containers/web/start')).status, 200);
  const listed = (await client.call('GET', '/v1/containers')).json as { containers: { id: string }[] };
  assert.deepEqual(
    listed.containers.map((one) => one.id),
    [id],
  );
  assert.equal(
    ((await client.call('GET', `/v1/containers/${id.slice(0, 12)}`)).json as { Name: string }).Name,
    '/web',
  );
  assert.equal((await client.call('POST', '/v1/containers/web/rename', { name: 'site' })).status, 204);
  const refused = await client.call('DELETE', '/v1/containers/site');
  assert.equal(refused.status, 409);
  assert.deepEqual(refused.json, {
    code: 'failed_precondition',
    message: 'container site is running: stop it first, or force its removal',
    operation: 'RemoveContainer',
    object: 'site',
  });
  assert.equal((await client.call('POST', '/v1/containers/site/kill', { signal: 'SIGUSR1' })).status, 204);
  assert.equal((await client.call('POST', '/v1/containers/site/stop')).status, 204);
  assert.equal((await client.call('DELETE', '/v1/containers/site?force=true&volumes=true')).status, 204);
  assert.equal((await client.call('GET', '/v1/containers/site')).status, 404);
});

test('a list is whole however many pages the bus has', async () => {
  for (const name of ['a', 'b', 'c', 'd', 'e']) await create(name, ['sleep']);
  const { containers } = (await client.call('GET', '/v1/containers?all=true')).json as {
    containers: { name: string }[];
  };
  assert.deepEqual(
    containers.map(({ name }) => name),
    ['a', 'b', 'c', 'd', 'e'],
  );
});

test('what a body or a query should not hold is refused by its name', async () => {
  const cases: [method: string, path: string, body: unknown, message: RegExp][] = [
    [
      'POST',
      '/v1/containers',
      { spec: { image: 'x', colour: 'red' } },
      /unknown key "spec\.colour" in the request body/,
    ],
    [
      'POST',
      '/v1/containers',
      { spec: { image: 'x', mounts: [{ type: 'nfs', target: '/x' }] } },
      /"spec\.mounts\.0\.type" must be one of "bind", "volume", "tmpfs"/,
    ],
    [
      'POST',
      '/v1/containers',
      { spec: { image: 'x', resources: { memoryLimitBytes: '64m' } } },
      /"spec\.resources\.memoryLimitBytes" must be integer/,
    ],
    ['POST', '/v1/containers', {}, /the request body lacks "spec"/],
    ['POST', '/v1/containers', '{"spec":', /JSON/],
    ['GET', '/v1/containers?everything=true', undefined, /unknown key "everything" in the query/],
    ['GET', '/v1/containers?all=perhaps', undefined, /"all" must be boolean/],
    ['GET', '/v1/containers?filter=nonsense', undefined, /filter "nonsense" is not of the form KEY=VALUE/],
    ['POST', '/v1/images/pull', {}, /the request body lacks "reference"/],
  ];
  for (const [method, path, body, message] of cases) {
    const answer = await client.call(method, path, body);
    assert.equal(answer.status, 400, `${path} ${answer.text}`);
    const error = answer.json as { code: string; message: string };
    assert.equal(error.code, 'invalid_argument');
    assert.match(error.message, message);
  }
  const nowhere = await client.call('GET', '/v1/nowhere');
  assert.equal(nowhere.status, 404);
  assert.match(nowhere.text, /this api has no GET \/v1\/nowhere/);
});

test('an OpenAPI document describes every route, its answer and its failure', async () => {
  interface Operation {
    readonly responses: Record<string, { content?: Record<string, { schema: { properties: object } }> }>;
  }
  const document = (await client.call('GET', '/v1/openapi.json')).json as {
    openapi: string;
    paths: Record<string, Record<string, Operation>>;
  };
  assert.equal(document.openapi, '3.1.0');
  for (const path of [
    '/v1/containers',
    '/v1/containers/{container}/attach',
    '/v1/images/load',
    '/v1/volumes',
    '/v1/info',
  ])
    assert.ok(document.paths[path], path);
  const described = (path: string, method: string, status: string): string[] =>
    Object.keys(
      document.paths[path]?.[method]?.responses[status]?.content?.['application/json']?.schema.properties ??
        {},
    );
  assert.deepEqual(described('/v1/containers', 'post', '201'), ['id', 'warnings', 'name']);
  for (const route of Object.keys(answers)) {
    const [method = '', path = ''] = route.split(' ');
    const operation = document.paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()];
    assert.ok(operation, `answers.ts describes ${route}, which is no route`);
  }
  for (const [path, operations] of Object.entries(document.paths))
    for (const method of Object.keys(operations))
      assert.deepEqual(
        described(path, method, 'default'),
        ['code', 'message', 'operation', 'object'],
        `${method} ${path}`,
      );
});

test('a wait tells that it is registered before the exit that it reports', async () => {
  await create('brief', ['fail', '7']);
  const answer = await client.stream('POST', '/v1/containers/brief/wait?condition=next-exit');
  const [first] = (await once(answer, 'data')) as [Buffer];
  assert.deepEqual(lines(first.toString()), [{ registered: true }]);
  await client.call('POST', '/v1/containers/brief/start');
  assert.deepEqual(lines((await readAll(answer)).toString()), [{ exitCode: 7 }]);
});

test('logs come as frames that keep the streams apart, with times when asked', async () => {
  await create('talker', ['both']);
  await client.call('POST', '/v1/containers/talker/start');
  const plain = splitFrames(await readAll(await client.stream('GET', '/v1/containers/talker/logs')));
  assert.deepEqual(
    plain.map(({ kind, payload }) => [kind, payload.toString()]),
    [
      [1, 'out\n'],
      [2, 'err\n'],
    ],
  );
  const timed = splitFrames(
    await readAll(await client.stream('GET', '/v1/containers/talker/logs?timestamps=true&tail=1')),
  );
  assert.match(timed[0]?.payload.toString() ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z err\n$/);
});

test('the bus stream is cancelled when the client goes away', async () => {
  await create('endless', ['sleep']);
  await client.call('POST', '/v1/containers/endless/start');
  const logs = await client.stream('GET', '/v1/containers/endless/logs?follow=true');
  const events = await client.stream('GET', '/v1/events');
  await until(() => running.agent.openStreams === 2);
  logs.destroy();
  events.destroy();
  await until(() => running.agent.openStreams === 0);
});

test('attach carries input, output, resizes and the exit code on one connection', async () => {
  const id = await create('echo', ['cat'], { openStdin: true });
  const socket = await client.upgrade('/v1/containers/echo/attach?stdin=true&rows=24&columns=80');
  assert.ok('write' in socket);
  await client.call('POST', '/v1/containers/echo/start');
  socket.write(Buffer.from([0, 0, 0, 0, 0, 0, 0, 5]));
  socket.write('hello');
  socket.write(Buffer.from([3, 0, 0, 0, 0, 0, 0, 4, 0, 40, 0, 100]));
  await until(() => running.agent.containers.get(id)?.sizes.length === 2);
  assert.deepEqual(running.agent.containers.get(id)?.sizes, ['24x80', '40x100']);
  // Half-closing the connection ends the input.
  socket.end();
  const frames = splitFrames(await readAll(socket));
  assert.deepEqual(
    frames.map(({ kind, payload }) => [kind, payload.toString('latin1')]),
    [
      [1, 'hello'],
      [4, '\0\0\0\0'],
    ],
  );
});

test('a refused attach is an ordinary answer with its status', async () => {
  const refused = (await client.upgrade('/v1/containers/nobody/attach')) as Answer;
  assert.equal(refused.status, 404);
  assert.equal((refused.json as { message: string }).message, 'there is no container nobody');
  const wrong = (await client.upgrade('/v1/containers/nobody/attach', 'websocket')) as Answer;
  assert.equal(wrong.status, 400);
  assert.equal((await client.call('POST', '/v1/containers/nobody/attach')).status, 426);
});

test('an exec is prepared, started and attached to, or left alone', async () => {
  await create('host', ['sleep']);
  const make = async (command: string[]): Promise<string> =>
    ((await client.call('POST', '/v1/containers/host/execs', { command })).json as { execId: string }).execId;
  const socket = await client.upgrade(`/v1/execs/${await make(['fail', '3'])}/start`);
  assert.ok('write' in socket);
  assert.deepEqual(
    splitFrames(await readAll(socket)).map(({ kind, payload }) => [kind, payload.readInt32BE(0)]),
    [[4, 3]],
  );
  assert.equal(
    (await client.call('POST', `/v1/execs/${await make(['sleep'])}/start?detach=true`)).status,
    204,
  );
});

test('a slow reader slows the container down instead of filling memory', async () => {
  const id = await create('flood', ['flood', '64']);
  const socket = await client.upgrade('/v1/containers/flood/attach');
  assert.ok('write' in socket);
  const before = process.memoryUsage().arrayBuffers;
  await client.call('POST', '/v1/containers/flood/start');
  await sleep(300);
  const held = process.memoryUsage().arrayBuffers - before;
  // The scripted container holds its 64 MiB once (chunks are shared); the api adds only what is under way.
  assert.ok(held < 16 * 1024 * 1024, `${held} bytes are held`);
  let received = 0;
  for (const { kind, payload } of splitFrames(await readAll(socket)))
    if (kind === 1) received += payload.length;
  assert.equal(received, 64 * 1024 * 1024);
  assert.equal(running.agent.containers.get(id)?.state, 'exited');
});

test('a pull shows its progress; a failure has its status at the begin and its line later', async () => {
  const pulled = await client.call('POST', '/v1/images/pull', { reference: 'registry/app:1' });
  assert.equal(pulled.status, 200);
  const last = lines(pulled.text).at(-1) as { image: { references: string[] } };
  assert.deepEqual(last.image.references, ['registry/app:1']);
  const absent = await client.call('POST', '/v1/images/pull', { reference: 'gone:1' });
  assert.equal(absent.status, 404);
  const broken = await client.call('POST', '/v1/images/pull', { reference: 'broken/app:1' });
  assert.equal(broken.status, 200);
  const error = lines(broken.text).at(-1) as { error: { code: string; message: string } };
  assert.equal(error.error.code, 'data_loss');
});

const spool = (): string[] => readdirSync(join(running.stateDirectory, 'spool'));

async function upload(path: string, ...chunks: string[]): Promise<ClientRequest> {
  const sent = client.open('POST', path, { 'content-type': 'application/x-tar' });
  for (const chunk of chunks) {
    sent.write(chunk);
    await sleep(5);
  }
  return sent;
}

test('a loaded archive reaches the image store as a file of its own and leaves nothing', async () => {
  const sent = await upload('/v1/images/load', 'one ', 'two ', 'three');
  assert.equal(spool().length, 1);
  assert.equal(statSync(join(running.stateDirectory, 'spool', spool()[0] ?? '')).mode & 0o777, 0o600);
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  assert.match((await readAll(answer)).toString(), /loaded:1/);
  assert.equal(running.loads.at(-1)?.content.toString(), 'one two three');
  assert.deepEqual(spool(), []);
});

test('a refused archive and an upload that is broken off leave nothing', async () => {
  const hostile = await upload('/v1/images/load', 'hostile');
  hostile.end();
  const [answer] = (await once(hostile, 'response')) as [IncomingMessage];
  assert.equal(answer.statusCode, 400);
  assert.match((await readAll(answer)).toString(), /absolute name/);
  assert.deepEqual(spool(), []);
  const broken = await upload('/v1/images/load', 'half');
  broken.on('error', () => undefined);
  assert.equal(spool().length, 1);
  broken.destroy();
  await until(() => spool().length === 0);
});

test('info tells the services with their metrics addresses, and who did not answer', async () => {
  const info = (await client.call('GET', '/v1/info')).json as {
    nodeId: string;
    services: { name: string; metricsUrl: string }[];
    untold: { service: string; reason: string }[];
  };
  assert.equal(info.nodeId, 'node1');
  assert.deepEqual(
    info.services.map(({ name }) => name),
    ['api', 'image-store', 'node-agent'],
  );
  assert.deepEqual(
    info.untold.map(({ service }) => service),
    ['network-manager', 'cgroup-supervisor', 'spawner'],
  );
  const url = info.services.find(({ name }) => name === 'api')?.metricsUrl ?? '';
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.match(metrics, /gantry_api_http_request_duration_seconds_bucket\{[^}]*route="\/v1\/containers"/);
});

test('the socket is for root and its group alone, and one that is in use is refused', async () => {
  assert.equal(statSync(running.socketPath).mode & 0o777, 0o660);
  const config = {
    run_dir: running.runDirectory,
    state_dir: running.stateDirectory,
    socket_group: 'gantry',
    tls_port: 0,
  };
  await assert.rejects(startApi(running.environment, config), /another api already listens on/);
  assert.equal((await client.call('GET', '/v1/version')).status, 200);
});

test('the socket and the spooled files of a killed predecessor are replaced; a stop tells the clients', async () => {
  const run = join(running.stateDirectory, 'second');
  mkdirSync(join(run, 'spool'), { recursive: true });
  writeFileSync(join(run, 'spool', 'load-left'), 'x');
  // A socket file that nobody listens on.
  const dead = createServer().listen(join(run, 'dead.sock'));
  await once(dead, 'listening');
  renameSync(join(run, 'dead.sock'), join(run, 'api.sock'));
  dead.close();
  await once(dead, 'close');
  assert.ok(existsSync(join(run, 'api.sock')));
  const second = await startApi(running.environment, {
    run_dir: run,
    state_dir: run,
    socket_group: '',
    tls_port: 0,
  });
  const other = new SocketClient(join(run, 'api.sock'));
  assert.deepEqual(readdirSync(join(run, 'spool')), []);
  await create('patient', ['sleep']);
  await other.call('POST', '/v1/containers/patient/start');
  const waiting = await other.stream('POST', '/v1/containers/patient/wait');
  const attached = await other.upgrade('/v1/containers/patient/attach');
  assert.ok('write' in attached);
  const ends = Promise.all([readAll(waiting), readAll(attached)]);
  await second.stop();
  const [waited, seen] = await ends;
  assert.match(waited.toString(), /"registered":true[^]*the api of this node is stopping/);
  assert.equal(splitFrames(seen).at(-1)?.kind, 5);
  assert.ok(!existsSync(join(run, 'api.sock')));
  assert.equal(running.agent.find('x', 'patient').state, 'running');
});

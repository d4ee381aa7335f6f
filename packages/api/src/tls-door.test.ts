import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Bus, ServiceKit } from '@gantry/bus';
import fastify, { type FastifyInstance } from 'fastify';
import { admit } from './admission.js';
import { ScriptedCluster } from './testing/scripted-cluster.js';
import { TlsDoor } from './tls-door.js';

const limits = { handshakeMs: 300, headersMs: 300, strangersBodyMs: 300, connections: 4 };
const longAfterMs = 1_000;
const soonMs = 5_000;

let directory: string;
let app: FastifyInstance;
let door: TlsDoor;
let port: number;
let admin: string;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-door-'));
  const cluster = await ScriptedCluster.make(directory);
  admin = cluster.tokens.admin.token;
  port = cluster.port = await freePort();
  const methods = Object.assign({}, ...cluster.served().map(({ handlers }) => handlers)) as Record<
    string,
    (message: unknown) => Promise<object>
  >;
  const bus = {
    nodeId: 'node1',
    call: ({ name }: { name: string }, message: object) => methods[name]?.(message),
  } as unknown as Bus;
  const logger = { info() {}, warn() {}, error() {} } as unknown as ServiceKit['logger'];
  app = fastify();
  app.addHook('onRequest', async ({ raw, routeOptions }) => {
    await admit(bus, raw, routeOptions.url);
  });
  app.post('/v1/cluster/members', () => 'joined');
  app.post('/upload', ({ body }) => body);
  app.get('/stream', async (_request, reply) => {
    reply.raw.write('first\n');
    await sleep(longAfterMs);
    reply.raw.end('last\n');
  });
  await app.ready();
  door = new TlsDoor(app, bus, logger, limits);
  door.start();
  for (const end = Date.now() + soonMs; ; await sleep(20)) {
    const probe = connectTcp(port, '127.0.0.1');
    const open = await once(probe, 'connect').then(
      () => true,
      () => false,
    );
    probe.destroy();
    if (open) break;
    assert.ok(Date.now() < end, 'the door did not open');
  }
});
after(async () => {
  await door.stop();
  await app.close();
  rmSync(directory, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port: free } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return free;
}

async function secure(): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  return socket;
}

/** What came until the other side closed. */
async function untilClosed(socket: Socket): Promise<string> {
  let heard = '';
  socket.on('data', (data: Buffer) => (heard += data.toString()));
  socket.on('error', () => undefined);
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(soonMs) });
  return heard;
}

test('who never shakes hands, says nothing, or does not end the headers is cut off', async () => {
  await untilClosed(connectTcp(port, '127.0.0.1'));
  await untilClosed(await secure());
  const slow = await secure();
  slow.write('GET /stream HTTP/1.1\r\nhost: x\r\n');
  assert.match(await untilClosed(slow), /408/);
});

test('a body that does not come is not waited for, refused or joining; of an administrator it is', async () => {
  const half = 'host: x\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n';
  const refused = await secure();
  refused.write(`POST /upload HTTP/1.1\r\n${half}\r\nha`);
  assert.match(await untilClosed(refused), /needs a token/);
  const joining = await secure();
  joining.write(`POST /v1/cluster/members HTTP/1.1\r\n${half}\r\nha`);
  assert.equal(await untilClosed(joining), '');
  const known = await secure();
  known.write(
    `POST /upload HTTP/1.1\r\n${half}connection: close\r\nauthorization: Bearer ${admin}\r\n\r\nha`,
  );
  await sleep(longAfterMs);
  known.write('lf');
  assert.match(await untilClosed(known), /200 OK[\s\S]*half$/);
});

test('an answer takes as long as it takes', async () => {
  const sent = request({
    host: '127.0.0.1',
    port,
    path: '/stream',
    agent: new Agent({ rejectUnauthorized: false }),
    headers: { authorization: `Bearer ${admin}` },
  }).end();
  const [answer] = (await once(sent, 'response')) as [AsyncIterable<Buffer>];
  let text = '';
  for await (const part of answer) text += part.toString();
  assert.equal(text, 'first\nlast\n');
});

test('there are no more connections than the door may have', async () => {
  const sockets = await Promise.all(Array.from({ length: limits.connections }, secure));
  const more = connectTcp(port, '127.0.0.1');
  const begun = Date.now();
  await untilClosed(more);
  assert.ok(Date.now() - begun < limits.handshakeMs, 'it was closed at once');
  for (const socket of sockets) socket.destroy();
});

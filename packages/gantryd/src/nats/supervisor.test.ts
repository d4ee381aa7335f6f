import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { busUsers } from '@gantry/bus';
import { connect, nkeyAuthenticator, type NatsConnection } from 'nats';
import { pino } from 'pino';
import { loadBusKey } from '../identity.js';
import { findServer } from './find-server.js';
import { renderServerConfig, serverPaths } from './server-config.js';
import { NatsSupervisor, type SupervisorOptions } from './supervisor.js';

const logger = pino({ level: 'silent' });
const nodeId = '00000000000000aa';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function prepare(t: TestContext): Promise<SupervisorOptions & { directory: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-gantryd-'));
  const paths = serverPaths(directory);
  t.after(() => {
    const left = findServer(paths.config);
    if (left !== undefined) process.kill(left.pid, 'SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  const port = await freePort();
  const publicKeys = Object.fromEntries(
    busUsers.map((user) => [user, loadBusKey(directory, user).publicKey]),
  );
  return { directory, paths, port, config: renderServerConfig({ nodeId, port, paths, publicKeys }), logger };
}

async function connectAs(
  t: TestContext,
  options: { directory: string; port: number },
  user: string,
): Promise<NatsConnection> {
  const connection = await connect({
    servers: `127.0.0.1:${options.port}`,
    authenticator: nkeyAuthenticator(Buffer.from(loadBusKey(options.directory, user).seed)),
    reconnectTimeWait: 20,
    maxReconnectAttempts: -1,
  });
  t.after(() => connection.close());
  return connection;
}

test('nats-server listens once the supervisor has started, and is gone once it has stopped', async (t) => {
  const options = await prepare(t);
  const supervisor = await NatsSupervisor.start(options);
  assert.equal(findServer(options.paths.config)?.pid, supervisor.pid);
  const connection = await connectAs(t, options, 'api');
  assert.equal(connection.info?.server_name, `gantry-${nodeId}`);
  await supervisor.stop();
  assert.equal(findServer(options.paths.config), undefined);
});

test('a client without a key of this node is turned away', async (t) => {
  const options = await prepare(t);
  const supervisor = await NatsSupervisor.start(options);
  t.after(() => supervisor.stop());
  await assert.rejects(connect({ servers: `127.0.0.1:${options.port}`, reconnect: false }), /authorization/i);
});

test('a server that outlived its gantryd is adopted, its clients undisturbed', async (t) => {
  const options = await prepare(t);
  const first = await NatsSupervisor.start(options);
  const connection = await connectAs(t, options, 'api');
  // The first supervisor is simply forgotten, as SIGKILL would do.
  const second = await NatsSupervisor.start(options);
  assert.equal(second.pid, first.pid);
  await connection.flush();
  await second.stop();
  await first.stop();
});

test('a server with the permissions of another release is adopted and takes the new ones', async (t) => {
  const options = await prepare(t);
  const before = { ...options, config: options.config.replace('"ping_max": 2', '"ping_max": 3') };
  const first = await NatsSupervisor.start(before);
  const pid = first.pid;
  const second = await NatsSupervisor.start(options);
  t.after(() => Promise.all([first.stop(), second.stop()]));
  assert.equal(second.pid, pid);
});

test('the server of a node that lost its identity is replaced: a reload cannot rename it', async (t) => {
  const options = await prepare(t);
  mkdirSync(options.paths.directory, { recursive: true });
  writeFileSync(options.paths.config, options.config.replaceAll(nodeId, '00000000000000bb'));
  const first = spawn('nats-server', ['-c', options.paths.config], { stdio: 'ignore' });
  const deadline = performance.now() + 5_000;
  while (findServer(options.paths.config) === undefined && performance.now() < deadline) await sleep(20);
  const second = await NatsSupervisor.start(options);
  t.after(() => second.stop());
  assert.notEqual(second.pid, first.pid);
  const connection = await connectAs(t, options, 'api');
  assert.equal(connection.info?.server_name, `gantry-${nodeId}`);
});

test('a killed server is started again and its clients come back by themselves', async (t) => {
  const options = await prepare(t);
  let restarts = 0;
  const supervisor = await NatsSupervisor.start({ ...options, onRestart: () => (restarts += 1) });
  t.after(() => supervisor.stop());
  const connection = await connectAs(t, options, 'api');
  const pid = supervisor.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  const deadline = performance.now() + 10_000;
  while (restarts === 0 && performance.now() < deadline) await sleep(20);
  assert.equal(restarts, 1);
  assert.notEqual(supervisor.pid, pid);
  for (let answered = false; !answered && performance.now() < deadline;) {
    answered = await connection.flush().then(
      () => true,
      () => sleep(20, false),
    );
  }
  await connection.flush();
});

test('a port taken by another program is refused by its number', async (t) => {
  const options = await prepare(t);
  const squatter = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => squatter.listen(options.port, '127.0.0.1', resolve));
  t.after(() => squatter.close());
  await assert.rejects(NatsSupervisor.start(options), new RegExp(`port ${options.port} .* is taken`));
});

test('a configuration that no server comes up with leaves the node the bus it had', async (t) => {
  const options = await prepare(t);
  const supervisor = await NatsSupervisor.start(options);
  t.after(() => supervisor.stop());
  // 192.0.2.0/24 is nobody's: RFC 5737.
  const bad = { ...(JSON.parse(options.config) as object), leafnodes: { listen: '192.0.2.7:4323' } };
  await assert.rejects(supervisor.reconfigure(JSON.stringify(bad)), /ended at once/);
  const connection = await connectAs(t, options, 'api');
  await connection.flush();
  const good = options.config.replace('"ping_max": 2', '"ping_max": 3');
  const { pid } = supervisor;
  await supervisor.reconfigure(good);
  assert.equal(supervisor.pid, pid);
});

test('a server that may not have been told of its configuration is replaced', async (t) => {
  const options = await prepare(t);
  const first = await NatsSupervisor.start(options);
  const { pid } = first;
  // As a gantryd leaves it that is killed between the writing and the signal.
  writeFileSync(options.paths.reloading, '');
  const second = await NatsSupervisor.start(options);
  t.after(() => Promise.all([first.stop(), second.stop()]));
  assert.notEqual(second.pid, pid);
});

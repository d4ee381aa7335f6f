import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentInbox, agentSubject, busUsers, controlInbox, controlSubject } from '@gantry/bus';
import { createAuthority, createRequest, signRequest, type Authority } from '@gantry/membership/certificates';
import { membershipPaths, writeClusterFile, type MembershipRecord } from '@gantry/membership';
import { control } from '@gantry/protocol';
import { connect, nkeyAuthenticator, type NatsConnection } from 'nats';
import { pino } from 'pino';
import { loadBusKey } from '../identity.js';
import { clusterUsers } from '../member.js';
import { findServer } from './find-server.js';
import { renderServerConfig, serverName, serverPaths, type MemberInput } from './server-config.js';
import { NatsSupervisor } from './supervisor.js';

const logger = pino({ level: 'silent' });
const clusterId = 'c0ffee';
const routeSecret = '5ec4e7';

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** One machine of a test cluster: its directories, keys and certificate. */
interface Host {
  readonly nodeId: string;
  readonly directory: string;
  readonly port: number;
  readonly membership: MembershipRecord;
  readonly busKey: string;
  supervisor?: NatsSupervisor;
}

async function makeHost(
  t: TestContext,
  authority: Authority,
  nodeId: string,
  role: 'control' | 'worker',
): Promise<Host> {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-cluster-'));
  const [port = 0, leafPort = 0, routePort = 0] = await freePorts(3);
  const paths = membershipPaths(directory);
  mkdirSync(paths.directory, { mode: 0o700 });
  const { request, key } = await createRequest(nodeId);
  const certificate = await signRequest(authority, request, { nodeId, address: '127.0.0.1', role });
  writeClusterFile(paths.caCertificate, authority.certificate);
  writeClusterFile(paths.certificate, certificate + authority.certificate);
  writeClusterFile(paths.key, key);
  const host: Host = {
    nodeId,
    directory,
    port,
    membership: {
      version: 1,
      clusterId,
      nodeId,
      role,
      controlPending: false,
      address: '127.0.0.1',
      leafPort,
      routePort,
      apiPort: 0,
    },
    busKey: loadBusKey(directory, clusterUsers.agent).publicKey,
  };
  t.after(async () => {
    await host.supervisor?.stop();
    const left = findServer(serverPaths(directory).config);
    if (left !== undefined) process.kill(left.pid, 'SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  return host;
}

function viewOf(hosts: readonly Host[]): control.ClusterView {
  return {
    clusterId,
    storeGeneration: 1,
    revision: 1,
    seedingNodeId: '',
    apiTokens: [],
    members: hosts.map(({ nodeId, membership, busKey }) => ({
      nodeId,
      role: membership.role === 'control' ? 'NODE_ROLE_CONTROL' : 'NODE_ROLE_WORKER',
      address: membership.address,
      leafPort: membership.leafPort,
      routePort: membership.routePort,
      apiPort: 0,
      busKey,
    })),
  };
}

function render(host: Host, view: control.ClusterView, changes: Partial<MemberInput> = {}): string {
  return renderServerConfig({
    nodeId: host.nodeId,
    port: host.port,
    paths: serverPaths(host.directory),
    publicKeys: Object.fromEntries(
      busUsers.map((user) => [user, loadBusKey(host.directory, user).publicKey]),
    ),
    member: {
      membership: host.membership,
      view,
      paths: membershipPaths(host.directory),
      storeDirectory: join(host.directory, 'js'),
      routeSecret,
      agentSeed: loadBusKey(host.directory, clusterUsers.agent).seed,
      agentKey: host.busKey,
      controlKey: loadBusKey(host.directory, clusterUsers.control).publicKey,
      sysKey: loadBusKey(host.directory, clusterUsers.sys).publicKey,
      ...changes,
    },
  });
}

async function start(host: Host, view: control.ClusterView, changes?: Partial<MemberInput>): Promise<void> {
  host.supervisor = await NatsSupervisor.start({
    paths: serverPaths(host.directory),
    port: host.port,
    config: render(host, view, changes),
    logger,
  });
}

async function enter(t: TestContext, host: Host, user: string, inbox?: string): Promise<NatsConnection> {
  const connection = await connect({
    servers: `127.0.0.1:${host.port}`,
    authenticator: nkeyAuthenticator(Buffer.from(loadBusKey(host.directory, user).seed)),
    inboxPrefix: inbox ?? `_INBOX_${user}`,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  t.after(() => connection.close());
  return connection;
}

async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined>,
  withinMs = 20_000,
): Promise<T> {
  for (const deadline = performance.now() + withinMs; performance.now() < deadline; await sleep(50)) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
  }
  throw new Error(`not within ${withinMs} ms: ${what}`);
}

interface LeafListing {
  readonly data: { readonly leafs?: readonly { readonly name: string; readonly account: string }[] };
}

test('a worker reaches control under its own name and nothing else, on its server and through it', async (t) => {
  const authority = await createAuthority(clusterId);
  const hub = await makeHost(t, authority, 'aaaaaaaaaaaaaaaa', 'control');
  const worker = await makeHost(t, authority, 'bbbbbbbbbbbbbbbb', 'worker');
  const other = await makeHost(t, authority, 'cccccccccccccccc', 'worker');
  const view = viewOf([hub, worker, other]);
  await start(hub, view);
  await start(worker, view);
  const leader = await enter(t, hub, clusterUsers.control, controlInbox(hub.nodeId));
  const heard: string[] = [];
  leader.subscribe(controlSubject('*', '*'), {
    callback: (_error, message) => {
      heard.push(message.subject);
      message.respond('yes');
    },
  });
  const agent = await enter(t, worker, clusterUsers.agent, agentInbox(worker.nodeId));
  const renew = controlSubject(worker.nodeId, 'RenewLease');
  await eventually('the leaf is connected', async () =>
    (await agent.request(renew, '', { timeout: 500 })).string(),
  );

  // What the worker's own server would refuse is tried at the hub, as a worker whose server was tampered with would.
  const bare = await makeHost(t, authority, worker.nodeId, 'worker');
  const rogue = await makeRogueLeaf(t, bare, hub, worker);
  await eventually('the rogue leaf is connected', async () =>
    (await rogue.request(renew, '', { timeout: 500 })).string(),
  );
  heard.length = 0;
  const forbidden = [
    controlSubject(other.nodeId, 'RenewLease'),
    controlSubject(other.nodeId, 'WatchTasks'),
    controlSubject(hub.nodeId, 'DeployStack'),
    ...Object.keys(control.Control.methods).map((method) => controlSubject(worker.nodeId, method)),
    agentSubject(other.nodeId, 'ReadTaskOutput'),
    `${agentInbox(other.nodeId)}.x`,
    '$JS.API.INFO',
    '$JS.API.STREAM.NAMES',
    '$KV.gantry-1.meta',
    '$SYS.REQ.SERVER.PING',
    `gantry.v1.node.${hub.nodeId}.spawner.StartContainer`,
    '$SRV.PING',
  ];
  const everything: string[] = [];
  leader.subscribe(`${controlInbox(hub.nodeId)}.>`, { callback: (_e, m) => everything.push(m.subject) });
  const listener = await enter(t, hub, clusterUsers.agent, agentInbox(hub.nodeId));
  for (const subject of forbidden)
    await assert.rejects(rogue.request(subject, '', { timeout: 300 }), /503|TIMEOUT|PERMISSIONS/, subject);
  assert.deepEqual(heard, []);

  const eavesdropped: string[] = [];
  for (const subject of [
    '>',
    controlSubject('*', '*'),
    agentSubject(other.nodeId, '*'),
    `${agentInbox(other.nodeId)}.>`,
    `${controlInbox(hub.nodeId)}.>`,
    '$KV.>',
  ])
    rogue.subscribe(subject, {
      callback: (_e, m) =>
        void (m.subject.startsWith(agentInbox(worker.nodeId)) || eavesdropped.push(m.subject)),
    });
  await rogue.flush();
  await sleep(200);
  leader.publish(agentSubject(other.nodeId, 'ReadTaskOutput'), 'secret');
  leader.publish(`${agentInbox(other.nodeId)}.x`, 'secret');
  await listener.request(controlSubject(hub.nodeId, 'ListNodes'), '', { timeout: 500 });
  await leader.flush();
  await sleep(200);
  assert.deepEqual(eavesdropped, []);
});

/** A worker's leaf with the right certificate and key, behind a server that grants its users everything. */
async function makeRogueLeaf(t: TestContext, bare: Host, hub: Host, worker: Host): Promise<NatsConnection> {
  const view = viewOf([hub, worker]);
  const config = JSON.parse(
    render(bare, view, { agentSeed: loadBusKey(worker.directory, clusterUsers.agent).seed }),
  ) as { accounts: { CLUSTER: { users: object[] } }; server_name: string };
  config.server_name = 'rogue';
  config.accounts.CLUSTER.users = [{ nkey: bare.busKey }];
  bare.supervisor = await NatsSupervisor.start({
    paths: serverPaths(bare.directory),
    port: bare.port,
    config: JSON.stringify(config),
    logger,
  });
  return enter(t, bare, clusterUsers.agent, agentInbox(worker.nodeId));
}

test('control sees through SYS which workers are connected, by the name of their server', async (t) => {
  const authority = await createAuthority(clusterId);
  const hub = await makeHost(t, authority, 'aaaaaaaaaaaaaaaa', 'control');
  const worker = await makeHost(t, authority, 'bbbbbbbbbbbbbbbb', 'worker');
  const view = viewOf([hub, worker]);
  await start(hub, view);
  await start(worker, view);
  const sys = await enter(t, hub, clusterUsers.sys);
  const names = async (): Promise<string[]> => {
    const answer = await sys.request('$SYS.REQ.SERVER.PING.LEAFZ', '', { timeout: 500 });
    return (answer.json<LeafListing>().data.leafs ?? []).map(({ name }) => name);
  };
  await eventually('the worker is listed', async () =>
    (await names()).includes(serverName(worker.nodeId)) ? true : undefined,
  );
  await worker.supervisor?.stop();
  await eventually(
    'the worker is not listed',
    async () => ((await names()).length === 0 ? true : undefined),
    4_000,
  );
});

test('nobody is a leaf without a certificate and key of the cluster, and nobody a route without the secret', async (t) => {
  const authority = await createAuthority(clusterId);
  const foreign = await createAuthority(clusterId);
  const hub = await makeHost(t, authority, 'aaaaaaaaaaaaaaaa', 'control');
  const second = await makeHost(t, authority, 'dddddddddddddddd', 'control');
  const stranger = await makeHost(t, foreign, 'bbbbbbbbbbbbbbbb', 'worker');
  const unknown = await makeHost(t, authority, 'eeeeeeeeeeeeeeee', 'worker');
  await start(hub, viewOf([hub, second, stranger]));
  await start(stranger, viewOf([hub, stranger]));
  await start(unknown, viewOf([hub, unknown]));
  await start(second, viewOf([hub, second]), { routeSecret: 'guessed' });
  const sys = await enter(t, hub, clusterUsers.sys);
  await sleep(2_500);
  const leaves = await sys.request('$SYS.REQ.SERVER.PING.LEAFZ', '', { timeout: 500 });
  assert.deepEqual(leaves.json<LeafListing>().data.leafs ?? [], []);
  const routes = await sys.request('$SYS.REQ.SERVER.PING.ROUTEZ', '', { timeout: 500 });
  assert.equal(routes.json<{ data: { num_routes: number } }>().data.num_routes, 0);
});

test('three control nodes form one store with three copies, and a worker changes over when its hub is lost', async (t) => {
  const authority = await createAuthority(clusterId);
  const hosts = await Promise.all(
    ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb', 'cccccccccccccccc'].map((id) =>
      makeHost(t, authority, id, 'control'),
    ),
  );
  const worker = await makeHost(t, authority, 'dddddddddddddddd', 'worker');
  const view = viewOf([...hosts, worker]);
  await Promise.all([...hosts, worker].map((host) => start(host, view)));
  const [first, second] = hosts;
  assert.ok(first !== undefined && second !== undefined);
  const writer = await enter(t, first, clusterUsers.control, controlInbox(first.nodeId));
  const kv = await eventually('the store is made', () =>
    writer.jetstream().views.kv('gantry-1', { replicas: 3 }),
  );
  await kv.put('meta', 'x');
  const agent = await enter(t, worker, clusterUsers.agent, agentInbox(worker.nodeId));
  for (const host of hosts) {
    const leader = await enter(t, host, clusterUsers.control, controlInbox(host.nodeId));
    leader.subscribe(controlSubject('*', '*'), {
      queue: 'test',
      callback: (_e, m) => m.respond(host.nodeId),
    });
  }
  const renew = controlSubject(worker.nodeId, 'RenewLease');
  const ask = async (): Promise<string> => (await agent.request(renew, '', { timeout: 300 })).string();
  await eventually('the worker reaches a control node', ask);
  await first.supervisor?.stop();
  await eventually('the worker reaches another', async () =>
    (await ask()) === first.nodeId ? undefined : true,
  );
  const reader = await enter(t, second, clusterUsers.control, controlInbox(second.nodeId));
  const value = await eventually('the store is there with two of three', async () =>
    (await (await reader.jetstream().views.kv('gantry-1', { bindOnly: true })).get('meta'))?.string(),
  );
  assert.equal(value, 'x');
});

test('a new member is let in without anybody losing a connection', async (t) => {
  const authority = await createAuthority(clusterId);
  const hub = await makeHost(t, authority, 'aaaaaaaaaaaaaaaa', 'control');
  const worker = await makeHost(t, authority, 'bbbbbbbbbbbbbbbb', 'worker');
  await start(hub, viewOf([hub]));
  const pid = hub.supervisor?.pid;
  const view = viewOf([hub, worker]);
  await hub.supervisor?.reconfigure(render(hub, view));
  await start(worker, view);
  const sys = await enter(t, hub, clusterUsers.sys);
  await eventually('the worker is connected', async () => {
    const answer = await sys.request('$SYS.REQ.SERVER.PING.LEAFZ', '', { timeout: 500 });
    return (answer.json<LeafListing>().data.leafs ?? []).length === 1 ? true : undefined;
  });
  assert.equal(hub.supervisor?.pid, pid);
});

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { busUsers } from '@gantry/bus';
import { createRequest, signRequest, type Authority } from '@gantry/membership/certificates';
import { membershipPaths, writeClusterFile, type MembershipRecord } from '@gantry/membership';
import type { control } from '@gantry/protocol';
import { connect, nkeyAuthenticator, type NatsConnection } from 'nats';
import { pino } from 'pino';
import { loadBusKey } from '../identity.js';
import { clusterUsers } from '../member.js';
import { findServer } from '../nats/find-server.js';
import { renderServerConfig, serverPaths, type MemberInput } from '../nats/server-config.js';
import { NatsSupervisor } from '../nats/supervisor.js';

export const quietLogger = pino({ level: 'silent' });
export const clusterId = 'c0ffee';
export const routeSecret = '5ec4e7';

export async function freePorts(count: number): Promise<number[]> {
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
export interface Host {
  readonly nodeId: string;
  readonly directory: string;
  readonly port: number;
  readonly membership: MembershipRecord;
  readonly busKey: string;
  supervisor?: NatsSupervisor;
}

export async function makeHost(
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

export function viewOf(hosts: readonly Host[]): control.ClusterView {
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

export function render(host: Host, view: control.ClusterView, changes: Partial<MemberInput> = {}): string {
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
      certificateId: 'c',
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

export async function start(
  host: Host,
  view: control.ClusterView,
  changes?: Partial<MemberInput>,
): Promise<void> {
  host.supervisor = await NatsSupervisor.start({
    paths: serverPaths(host.directory),
    port: host.port,
    config: render(host, view, changes),
    sysKeySeed: loadBusKey(host.directory, clusterUsers.sys).seed,
    logger: quietLogger,
  });
}

export async function enter(
  t: TestContext,
  host: Host,
  user: string,
  inbox?: string,
): Promise<NatsConnection> {
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

export async function eventually<T>(
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

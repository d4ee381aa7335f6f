import { join } from 'node:path';
import {
  agentPermissions,
  busUsers,
  controlPermissions,
  permissionsFor,
  type Permissions,
} from '@gantry/bus';
import type { MembershipPaths, MembershipRecord } from '@gantry/membership';
import type { control } from '@gantry/protocol';

export interface ServerPaths {
  readonly directory: string;
  readonly config: string;
  readonly pidFile: string;
  readonly log: string;
  /** There while a server has not been told yet of what stands in the configuration. */
  readonly reloading: string;
}

export function serverPaths(runDirectory: string): ServerPaths {
  const directory = join(runDirectory, 'nats');
  return {
    directory,
    config: join(directory, 'nats.conf'),
    pidFile: join(directory, 'nats.pid'),
    log: join(directory, 'nats.log'),
    reloading: join(directory, 'reloading'),
  };
}

/** What a node that is member of a cluster adds: see docs/adr/0004. */
export interface MemberInput {
  readonly membership: MembershipRecord;
  readonly view: control.ClusterView;
  readonly paths: MembershipPaths;
  /** Where JetStream keeps the store of this generation; control nodes only. */
  readonly storeDirectory: string;
  /** Secret of the routes between control nodes; control nodes only. */
  readonly routeSecret: string;
  /** Seed of this node's agent, with which a worker's leaf connection logs in. */
  readonly agentSeed: string;
  /** Public keys of this node's users in CLUSTER and SYS. */
  readonly agentKey: string;
  readonly controlKey: string;
  readonly sysKey: string;
  /** Changes with the node's certificate: a server does not look at its file again. */
  readonly certificateId: string;
}

export interface ServerConfigInput {
  readonly nodeId: string;
  readonly port: number;
  readonly paths: ServerPaths;
  /** Public key of every bus user. */
  readonly publicKeys: Readonly<Record<string, string>>;
  /** Absent for a node alone. */
  readonly member?: MemberInput | undefined;
}

/** Parts of the configuration that a running server does not take anew: a change of one replaces the server. */
const fixedParts = ['listen', 'server_name', 'server_tags', 'leafnodes', 'cluster', 'jetstream'] as const;

interface User {
  readonly nkey: string | undefined;
  readonly permissions?: object;
}

/**
 * nats-server's configuration, which takes JSON. NODE never leaves this machine. A node alone listens on loopback only; a
 * worker connects to the control nodes as their leaf, in CLUSTER; a control node listens for leaves and, when there are
 * three, for routes, and holds the store.
 */
export function renderServerConfig({ nodeId, port, paths, publicKeys, member }: ServerConfigInput): string {
  const users = busUsers.map((user) => userOf(publicKeys[user], permissionsFor(user, nodeId)));
  const config = {
    server_name: serverName(nodeId),
    listen: `127.0.0.1:${port}`,
    pid_file: paths.pidFile,
    log_file: paths.log,
    // Rotated by the server itself: a full disk must not be our doing.
    log_size_limit: 4 * 1024 * 1024,
    logfile_max_num: 2,
    // Messages stay under 512 KiB by contract; headers and a margin.
    max_payload: 640 * 1024,
    // A client that cannot take its messages for this long is cut off, and lists the truth again when it is back.
    write_deadline: '10s',
    // Of a cluster's member also its routes and leaves: a machine that died without a word is noticed in three seconds.
    ping_interval: member === undefined ? '20s' : '1s',
    ping_max: 2,
    // Nobody waits for a server without containers: it stops at once.
    lame_duck_duration: '30s',
    ...(member === undefined ? {} : memberParts(nodeId, member)),
    accounts: {
      // Named after the node: routes would carry what is published in an account of the same name on another server.
      [`NODE-${nodeId}`]: { users },
      CLUSTER: member === undefined ? { users: [] } : clusterAccount(nodeId, member),
      SYS: member?.membership.role === 'control' ? { users: [{ nkey: member.sysKey }] } : {},
    },
    system_account: 'SYS',
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** Name under which nats-server knows a node's server, and control asks whether it is connected. */
export const serverName = (nodeId: string): string => `gantry-${nodeId}`;

/** What a configuration fixes for the life of a server; undefined when it cannot be read. */
export function identityOf(config: string): string | undefined {
  try {
    const parts = JSON.parse(config) as Readonly<Record<string, unknown>>;
    return JSON.stringify(fixedParts.map((part) => parts[part] ?? null));
  } catch {
    return undefined;
  }
}

/** Public keys of those whom a control node's server lets in as its leaves; empty elsewhere. */
export function leafKeysOf(config: string): ReadonlySet<string> {
  const { leafnodes, accounts } = JSON.parse(config) as {
    readonly leafnodes?: { readonly listen?: string };
    readonly accounts: { readonly CLUSTER: { readonly users: readonly { readonly nkey: string }[] } };
  };
  return new Set(leafnodes?.listen === undefined ? [] : accounts.CLUSTER.users.map(({ nkey }) => nkey));
}

const userOf = (nkey: string | undefined, { publish, subscribe }: Permissions): User => ({
  nkey,
  permissions: { publish: { allow: publish }, subscribe: { allow: subscribe } },
});

const controlMembers = ({ members }: control.ClusterView): control.Member[] =>
  members.filter(({ role }) => role === 'NODE_ROLE_CONTROL').sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));

function memberParts(nodeId: string, member: MemberInput): object {
  const { membership, view } = member;
  const tls = {
    cert_file: member.paths.certificate,
    key_file: member.paths.key,
    ca_file: member.paths.caCertificate,
    timeout: 5,
  };
  const controls = controlMembers(view);
  const server_tags = [`certificate:${member.certificateId}`];
  if (membership.role === 'worker') {
    const urls = controls.map((one) => `tls://${hostOf(one.address)}:${one.leafPort}`);
    const remote = { urls, account: 'CLUSTER', nkey: member.agentSeed, tls };
    return urls.length === 0 ? {} : { server_tags, leafnodes: { remotes: [remote] } };
  }
  const others = controls.filter((one) => one.nodeId !== nodeId);
  const address = hostOf(membership.address);
  const verified = { ...tls, verify: true };
  return {
    server_tags,
    leafnodes: { listen: `${address}:${membership.leafPort}`, tls: verified },
    jetstream: {
      store_dir: member.storeDirectory,
      max_memory_store: 64 * 1024 * 1024,
      max_file_store: 4 * 1024 * 1024 * 1024,
      // What is acknowledged outlives a loss of power.
      sync_interval: 'always',
    },
    ...(others.length === 0
      ? {}
      : {
          cluster: {
            name: `gantry-${membership.clusterId}`,
            listen: `${address}:${membership.routePort}`,
            // A worker's certificate is good too, but it has not the secret: no node makes itself a route.
            authorization: { user: 'route', password: member.routeSecret, timeout: 5 },
            routes: others.map(
              (one) => `nats-route://route:${member.routeSecret}@${hostOf(one.address)}:${one.routePort}`,
            ),
            tls: verified,
            // Clients are this node's own services: they have no business at another's server.
            no_advertise: true,
          },
        }),
  };
}

function clusterAccount(nodeId: string, { membership, view, agentKey, controlKey }: MemberInput): object {
  const own = userOf(agentKey, agentPermissions(nodeId, membership.role));
  if (membership.role === 'worker') return { users: [own] };
  const leaves = view.members
    .filter((one) => one.role !== 'NODE_ROLE_CONTROL' && one.nodeId !== nodeId)
    .map((one) => userOf(one.busKey, agentPermissions(one.nodeId, 'worker')));
  return {
    jetstream: 'enabled',
    users: [own, userOf(controlKey, controlPermissions(nodeId)), ...leaves],
  };
}

/** An IPv6 address stands in brackets before a port. */
const hostOf = (address: string): string => (address.includes(':') ? `[${address}]` : address);

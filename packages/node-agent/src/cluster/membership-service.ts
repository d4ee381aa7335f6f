import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { isIP } from 'node:net';
import type { Handlers } from '@gantry/bus';
import { membershipPaths, parseToken, secretFits, type MembershipRecord } from '@gantry/membership';
import { createAuthority, createRequest, fingerprintOf, signRequest } from '@gantry/membership/certificates';
import { control, type node } from '@gantry/protocol';
import { nkeys } from 'nats';
import { refusal } from '../refuse.js';
import type { ClusterLink } from './cluster-link.js';
import type { Cluster } from './cluster.js';
import { checkJoinAnswer, connectTrusted, parseControlAddress, postJoin } from './join-request.js';
import { leaveCluster } from './leave.js';
import { checkAddress, noAddress, ownAddress } from './own-address.js';

/** How long a new member waits for its first lease: nats-server is started anew meanwhile, and perhaps a leader elected. */
const CONNECT_MS = 20_000;

const roles = { control: 'NODE_ROLE_CONTROL', worker: 'NODE_ROLE_WORKER' } as const;

/** Public nkey of a seed; the nats package has no types for it. */
function publicKeyOf(seed: string): string {
  const tools = nkeys as { fromSeed(seed: Uint8Array): { getPublicKey(): string } };
  return tools.fromSeed(Buffer.from(seed)).getPublicKey();
}

/** What is asked twice, because the bus was lost under the first asking, is done once; what failed may be tried again. */
class Asked {
  readonly #answers = new Map<string, Promise<unknown>>();

  once<T>(method: string, requestId: string, work: () => Promise<T>): Promise<T> {
    const key = `${method} ${requestId}`;
    const known = this.#answers.get(key) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const answer = work();
    this.#answers.set(key, answer);
    answer.catch(() => this.#answers.delete(key));
    for (const [one] of this.#answers) if (this.#answers.size > 20) this.#answers.delete(one);
    return answer;
  }
}

/** A node's place in a cluster: making one, joining, leaving, telling. */
export function createMembership(cluster: Cluster, clusterKeySeed: string): Handlers<typeof node.Membership> {
  const asked = new Asked();
  let changing: Promise<unknown> = Promise.resolve();
  /** One change of membership at a time; the same request repeated gets the answer of its first asking. */
  const change = <T>(method: string, requestId: string, work: () => Promise<T>): Promise<T> =>
    asked.once(method, requestId, () => {
      const done = changing.then(() => cluster.leaveFinished).then(work);
      changing = done.catch(() => undefined);
      return done;
    });
  return {
    InitCluster: ({ address }, { requestId }) =>
      change('InitCluster', requestId, () => initCluster(cluster, clusterKeySeed, address)),
    JoinCluster: (request, { requestId }) =>
      change('JoinCluster', requestId, () => joinCluster(cluster, clusterKeySeed, request)),
    LeaveCluster: ({ force }, { requestId }) =>
      change('LeaveCluster', requestId, () => leaveCluster(cluster, force)),
    GetMembership: () => Promise.resolve(describe(cluster)),
    CheckApiToken: ({ id, secret }) => Promise.resolve(checkApiToken(cluster.view, id, secret, Date.now())),
  };
}

function describe(cluster: Cluster): node.GetMembershipResponse {
  const { membership, connected, frozenReason, link, runner } = cluster;
  const { nodeId, config } = cluster.agent.context;
  const paths = membershipPaths(config.state_dir);
  const inCluster = membership !== undefined;
  return {
    nodeId,
    clusterId: membership?.clusterId ?? '',
    role: inCluster ? roles[membership.role] : 'NODE_ROLE_UNSPECIFIED',
    controlPending: membership?.controlPending ?? false,
    address: membership?.address ?? '',
    connected,
    leaderNodeId: link?.lease?.leaderNodeId ?? '',
    frozenReason,
    apiPort: membership?.apiPort ?? 0,
    certificatePath: inCluster ? paths.certificate : '',
    keyPath: inCluster ? paths.key : '',
    caPath: inCluster ? paths.caCertificate : '',
    tasks: runner.active,
  };
}

/** Who bears a token, by what this node remembers: also when it is cut off. Empty for nobody. */
export function checkApiToken(
  view: control.ClusterView | undefined,
  id: string,
  secret: string,
  nowUnixMs: number,
): node.CheckApiTokenResponse {
  const found = view?.apiTokens.find((token) => token.id === id);
  const lives = found !== undefined && (found.expiresUnixMs === 0 || nowUnixMs < found.expiresUnixMs);
  if (!lives || !secretFits(secret, found.secretSha256)) return { role: '', name: '' };
  return { role: found.role, name: found.name };
}

async function initCluster(
  cluster: Cluster,
  seed: string,
  wished: string,
): Promise<node.InitClusterResponse> {
  refuseMember(cluster, 'InitCluster');
  const { nodeId, config } = cluster.agent.context;
  const address = ownAddress(wished, config.cluster.address, 'InitCluster');
  if (address === undefined) throw noAddress('InitCluster');
  const clusterId = randomBytes(8).toString('hex');
  const authority = await createAuthority(clusterId);
  const { request, key } = await createRequest(nodeId);
  const certificate = await signRequest(authority, request, { nodeId, address, role: 'control' });
  const record = recordOf(cluster, { clusterId, role: 'control', controlPending: false, address });
  const link = cluster.enter({
    record,
    caCertificate: authority.certificate,
    certificate,
    key,
    caKey: authority.key,
    routeSecret: randomBytes(32).toString('hex'),
    view: {
      clusterId,
      storeGeneration: 1,
      revision: 0,
      members: [
        {
          nodeId,
          role: 'NODE_ROLE_CONTROL',
          address,
          leafPort: record.leafPort,
          routePort: record.routePort,
          apiPort: record.apiPort,
          busKey: publicKeyOf(seed),
        },
      ],
      apiTokens: [],
      seedingNodeId: nodeId,
    },
  });
  await untilConnected(link, 'InitCluster', 'the cluster is made, but control does not answer yet');
  return { clusterId, address };
}

async function joinCluster(
  cluster: Cluster,
  seed: string,
  { controlAddress, token: text, address: wished }: node.JoinClusterRequest,
): Promise<node.JoinClusterResponse> {
  const token = parseToken(text);
  if (token?.kind !== 'gj1')
    throw refusal(
      'invalid_argument',
      'JoinCluster',
      '',
      token === undefined
        ? 'the token is not one that gantry cluster token gives'
        : 'the token is one for the api: ask for one to join with gantry cluster token',
    );
  const { nodeId, config, version } = cluster.agent.context;
  const already = cluster.membership;
  if (already !== undefined) {
    const own = fingerprintOf(readFileSync(membershipPaths(config.state_dir).caCertificate, 'utf8'));
    if (own !== token.caFingerprint) refuseMember(cluster, 'JoinCluster');
    return {
      clusterId: already.clusterId,
      role: roles[already.role],
      controlPending: already.controlPending,
    };
  }
  const target = parseControlAddress(controlAddress);
  const known = ownAddress(wished, config.cluster.address, 'JoinCluster');
  const { request, key } = await createRequest(nodeId);
  using connection = await connectTrusted(target, token);
  const address = known ?? addressOn(connection.localAddress);
  const { leaf_port, route_port, api_port } = config.cluster;
  const answer = await postJoin(target, connection, {
    token: text.trim(),
    nodeId,
    certificateRequest: request,
    busKey: publicKeyOf(seed),
    address,
    leafPort: leaf_port,
    routePort: route_port,
    apiPort: api_port,
    hostname: hostname(),
    version,
    clockUnixMs: Date.now(),
  });
  checkJoinAnswer(target, token, key, answer);
  const role = answer.role === 'NODE_ROLE_CONTROL' ? 'control' : 'worker';
  const { clusterId, controlPending = false, view } = answer;
  const link = cluster.enter({
    record: recordOf(cluster, { clusterId, role, controlPending, address }),
    caCertificate: answer.caCertificate,
    certificate: answer.certificate,
    key,
    caKey: answer.caKey,
    routeSecret: answer.routeSecret,
    // Whatever the answer's JSON left out is there again.
    view: control.ClusterViewCodec.decode(control.ClusterViewCodec.encode(view ?? { clusterId })),
  });
  await untilConnected(link, 'JoinCluster', 'joined, but not connected yet');
  return { clusterId, role: roles[role], controlPending };
}

/** The address of this end of a connection to a control node: what is left when neither the user nor a route tells one. */
function addressOn(localAddress: string): string {
  const address = localAddress.replace(/^::ffff:/, '');
  if (isIP(address) === 0 || address === '::1' || address.startsWith('127.')) throw noAddress('JoinCluster');
  return checkAddress(address, 'JoinCluster');
}

async function untilConnected(link: ClusterLink, operation: string, what: string): Promise<void> {
  if (await link.untilHeld(CONNECT_MS)) return;
  const why = link.lease?.refusal ?? '';
  throw refusal(
    'unavailable',
    operation,
    '',
    `${what}: ${why === '' ? `control did not answer within ${CONNECT_MS / 1000} s` : why}; it goes on trying, see gantry cluster info`,
  );
}

function refuseMember(cluster: Cluster, operation: string): void {
  const { membership } = cluster;
  if (membership === undefined) return;
  throw refusal(
    'failed_precondition',
    operation,
    membership.clusterId,
    `this node is in cluster ${membership.clusterId} already: leave it first with gantry cluster leave`,
  );
}

function recordOf(
  cluster: Cluster,
  place: Pick<MembershipRecord, 'clusterId' | 'role' | 'controlPending' | 'address'>,
): MembershipRecord {
  const { nodeId, config } = cluster.agent.context;
  const { leaf_port, route_port, api_port } = config.cluster;
  return { version: 1, nodeId, ...place, leafPort: leaf_port, routePort: route_port, apiPort: api_port };
}

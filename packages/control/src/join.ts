import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { membershipPaths } from '@gantry/membership';
import { signRequest } from '@gantry/membership/certificates';
import type { ErrorCode, GantryError, control } from '@gantry/protocol';
import { checkJoinToken } from './join-tokens.js';
import type { JoiningContext } from './joining.js';
import { refusal } from './refuse.js';
import type { ClusterState } from './state.js';
import type { JoinTokenRecord } from './store.js';

/** Clocks that differ by more would make the end of tokens and the times of logs a lie, milliseconds. */
const clockToleranceMs = 60_000;

/**
 * Takes a node in: all is checked first, its certificate is signed, then its record and the token's use are written
 * together. A join that is repeated with the same token, node id and key gets the same answer as long as the token may be used: see
 * `checkJoinToken`. One that joins as control
 * waits as a worker until there are three: see `Generations`.
 */
export async function joinNode(
  context: JoiningContext,
  request: control.JoinNodeRequest,
  viewOf: (nodeId: string) => control.ClusterView,
): Promise<control.JoinNodeResponse> {
  const { committer, stateDirectory } = context;
  const paths = membershipPaths(stateDirectory);
  const read = (path: string): string => readFileSync(path, 'utf8');
  const { role } = check(context, request);
  const caCertificate = read(paths.caCertificate);
  const certificate = await signRequest(
    { certificate: caCertificate, key: read(paths.caKey) },
    request.certificateRequest,
    { nodeId: request.nodeId, address: request.address, role },
  );
  const record = await committer.transact(() => {
    // Once more: somebody else may have used the token while the certificate was signed.
    const token = check(context, request);
    const value = recordOf(context, request, token);
    return {
      changes: [
        { kind: 'node', id: value.nodeId, value },
        {
          kind: 'token',
          id: token.id,
          value: { ...token, usedBy: value.nodeId, usedKey: value.busKey },
        },
      ],
      result: value,
    };
  });
  const isForControl = role === 'control';
  const view = viewOf(record.nodeId);
  return {
    clusterId: view.clusterId,
    certificate,
    caCertificate,
    role: record.role,
    controlPending: record.controlPending,
    view,
    caKey: isForControl ? read(paths.caKey) : '',
    routeSecret: isForControl ? read(paths.routeSecret).trim() : '',
  };
}

/** Everything that a join can be refused for. Throws the one reason; the token comes first: a stranger learns nothing else. */
function check(context: JoiningContext, request: control.JoinNodeRequest): JoinTokenRecord {
  const { state, version, nowMs } = context;
  const token = checkJoinToken(context, request.token, request);
  checkShape(request);
  if (releaseOf(request.version) !== releaseOf(version))
    throw refused(
      'failed_precondition',
      request,
      `node ${request.nodeId} runs gantry ${request.version || 'of an unknown version'}, the cluster ${version}: install the same release first`,
    );
  const aheadMs = request.clockUnixMs - nowMs();
  if (Math.abs(aheadMs) > clockToleranceMs)
    throw refused(
      'failed_precondition',
      request,
      `the clock of node ${request.nodeId} is ${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the cluster's: set it right first`,
    );
  checkFree(state, request);
  if (token.role === 'control') context.checkControlJoin(request.nodeId);
  return token;
}

/** Ids and addresses go into subjects, certificates and configuration: only what they are made of is let through. */
function checkShape(request: control.JoinNodeRequest): void {
  const { nodeId, busKey, address, leafPort, routePort, apiPort, hostname } = request;
  const wrong = (message: string): GantryError => refused('invalid_argument', request, message);
  if (!/^[A-Za-z0-9-]{1,64}$/.test(nodeId)) throw wrong(`${JSON.stringify(nodeId)} is no id of a node`);
  if (!/^U[A-Z2-7]{55}$/.test(busKey)) throw wrong(`node ${nodeId} has not told the public key of its agent`);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(hostname))
    throw wrong(`${JSON.stringify(hostname)} is no name of a machine`);
  for (const [name, port] of Object.entries({ leaf: leafPort, route: routePort, api: apiPort }))
    if (port < (name === 'api' ? 0 : 1) || port > 65_535)
      throw wrong(`${port} cannot be the ${name} port of node ${nodeId}`);
  const isName = isIP(address) === 0 && /^(?!\d+(\.\d+)*$)[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$/.test(address);
  if (isIP(address) === 0 && !isName) throw wrong(`${JSON.stringify(address)} is no address of a node`);
  if (isForAll(address))
    throw wrong(`nobody can reach node ${nodeId} at ${address}: name an address of its own`);
}

/** Unspecified, multicast and broadcast addresses. */
const isForAll = (address: string): boolean =>
  isIP(address) === 4
    ? address === '0.0.0.0' || Number(address.split('.')[0]) >= 224
    : isIP(address) === 6 && (/^[0:]+$/.test(address) || /^ff/i.test(address));

const isLoopback = (address: string): boolean =>
  address === '::1' || address === 'localhost' || (isIP(address) === 4 && address.startsWith('127.'));

function checkFree(state: ClusterState, request: control.JoinNodeRequest): void {
  const { nodeId, busKey, address } = request;
  const taken = state.nodes.get(nodeId);
  if (taken !== undefined && taken.busKey !== busKey)
    throw refused(
      'already_exists',
      request,
      `the node id ${nodeId} is taken by ${taken.hostname} at ${taken.address}, which has another key: remove that node first`,
    );
  const others = [...state.nodes.values()].filter((one) => one.nodeId !== nodeId);
  const withKey = others.find((one) => one.busKey === busKey);
  if (withKey !== undefined)
    throw refused('already_exists', request, `node ${withKey.nodeId} has the same key as node ${nodeId}`);
  // Whatever the ports: a certificate for the address of a control node would let a worker pass for it.
  const names = namesOf(request);
  const there = others.find((one) => namesOf(one).some((name) => names.includes(name)));
  if (there !== undefined)
    throw refused(
      'already_exists',
      request,
      `node ${nodeId} at ${address} cannot be told from ${there.hostname} (node ${there.nodeId}), which is at ${there.address}: every node has an address of its own`,
    );
  const remote = others.find((one) => !isLoopback(one.address));
  if (remote !== undefined && isLoopback(address))
    throw refused(
      'invalid_argument',
      request,
      `${address} means each machine itself: ${remote.hostname} cannot reach node ${nodeId} there`,
    );
}

/** What a node's certificate is good for, in one spelling each. */
const namesOf = ({ nodeId, address }: { readonly nodeId: string; readonly address: string }): string[] =>
  [nodeId, address].map((name) =>
    isIP(name) === 6 ? new URL(`http://[${name}]`).hostname : name.toLowerCase().replace(/\.$/, ''),
  );

/** A node that is known keeps its labels, role and availability. */
function recordOf(
  { state, nowMs }: JoiningContext,
  { nodeId, busKey, address, leafPort, routePort, apiPort, hostname }: control.JoinNodeRequest,
  token: JoinTokenRecord,
): control.NodeRecord {
  const known = state.nodes.get(nodeId);
  return {
    nodeId,
    role: known?.role ?? 'NODE_ROLE_WORKER',
    availability: known?.availability ?? 'AVAILABILITY_ACTIVE',
    labels: known?.labels ?? {},
    address,
    leafPort,
    routePort,
    apiPort,
    busKey,
    joinedUnixMs: known?.joinedUnixMs ?? Math.floor(nowMs()),
    hostname,
    controlPending: known?.role === 'NODE_ROLE_CONTROL' ? false : token.role === 'control',
    maintenance: false,
  };
}

const releaseOf = (version: string): string => /^(\d+\.\d+)\./.exec(version)?.[1] ?? version;

const refused = (code: ErrorCode, { nodeId }: control.JoinNodeRequest, message: string): GantryError =>
  refusal(code, 'JoinNode', nodeId, message);

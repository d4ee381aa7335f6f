import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { membershipPaths, writeClusterFile } from '@gantry/membership';
import { createAuthority, createRequest, type Authority } from '@gantry/membership/certificates';
import { control } from '@gantry/protocol';
import { nkeys } from 'nats';
import { createApiToken, listApiTokens, revokeApiToken } from './api-tokens.js';
import { createJoinToken } from './join-tokens.js';
import { joinNode } from './join.js';
import type { JoiningContext } from './joining.js';
import { refusal } from './refuse.js';
import { ClusterState, type Change } from './state.js';
import { makeNode } from './testing/models.js';

const minuteMs = 60_000;
const makeKey = (): string =>
  (nkeys as { createUser(): { getPublicKey(): string } }).createUser().getPublicKey();
const hubKey = makeKey();
const workerKey = makeKey();

let authority: Authority;
let foreign: Authority;
let certificateRequest: string;
before(async () => {
  authority = await createAuthority('c0ffee');
  foreign = await createAuthority('other');
  certificateRequest = (await createRequest('worker')).request;
});

interface Cluster extends JoiningContext {
  readonly joined: Set<string>;
  nowValue: number;
  readonly written: Change[];
}

/** A cluster of one control node at 10.0.0.1. */
function makeCluster(t: TestContext, own = authority): Cluster {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'gantry-test-join-'));
  t.after(() => rmSync(stateDirectory, { recursive: true, force: true }));
  const paths = membershipPaths(stateDirectory);
  writeClusterFile(paths.caCertificate, own.certificate);
  writeClusterFile(paths.caKey, own.key);
  writeClusterFile(paths.routeSecret, '5ec4e7\n');
  const state = ClusterState.from(new Map());
  const { record } = makeNode('hub', {
    role: 'NODE_ROLE_CONTROL',
    address: '10.0.0.1',
    leafPort: 4323,
    routePort: 4324,
    apiPort: 4330,
    busKey: hubKey,
  });
  state.apply({ kind: 'node', id: 'hub', value: record });
  const cluster: Cluster = {
    state,
    stateDirectory,
    version: '0.3.1',
    nowValue: 1_000_000_000_000,
    nowMs: () => cluster.nowValue,
    written: [],
    joined: new Set(),
    hasJoined: (id) => cluster.joined.has(id),
    checkControlJoin: () => undefined,
    committer: {
      transact: (decide) =>
        new Promise((resolve) => {
          const { changes, result } = decide();
          for (const change of changes) {
            cluster.written.push(change);
            state.apply(change);
          }
          resolve(result);
        }),
    },
  };
  return cluster;
}

const viewOf = (): control.ClusterView =>
  control.ClusterViewCodec.decode(
    control.ClusterViewCodec.encode({ clusterId: 'c0ffee', storeGeneration: 1 }),
  );

const newToken = async (
  cluster: Cluster,
  role: control.NodeRole = 'NODE_ROLE_WORKER',
  ttlSeconds = 0,
): Promise<string> => (await createJoinToken(cluster, { role, ttlSeconds })).token;

function wish(
  cluster: Cluster,
  token: string,
  parts: Partial<control.JoinNodeRequest> = {},
): control.JoinNodeRequest {
  return {
    token,
    nodeId: 'worker',
    certificateRequest,
    busKey: workerKey,
    address: '10.0.0.2',
    leafPort: 4323,
    routePort: 4324,
    apiPort: 4330,
    hostname: 'one',
    version: '0.3.9',
    clockUnixMs: cluster.nowValue,
    ...parts,
  };
}

const joinWith = (
  cluster: Cluster,
  token: string,
  parts: Partial<control.JoinNodeRequest> = {},
): Promise<control.JoinNodeResponse> => joinNode(cluster, wish(cluster, token, parts), viewOf);

/** Refused with one sentence, and nothing written. */
async function refused(
  cluster: Cluster,
  joining: Promise<unknown>,
  code: string,
  message: RegExp,
): Promise<void> {
  const before = cluster.written.length;
  await assert.rejects(joining, (error: { code: string; message: string }) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
  assert.equal(cluster.written.length, before);
}

test('a worker joins with a token, and is given a certificate for its address but no secret of the cluster', async (t) => {
  const cluster = makeCluster(t);
  const made = await createJoinToken(cluster, { role: 'NODE_ROLE_WORKER', ttlSeconds: 0 });
  assert.deepEqual(made.addresses, ['10.0.0.1:4330']);
  assert.equal(made.expiresUnixMs, cluster.nowValue + 86_400_000);
  const answer = await joinWith(cluster, made.token);
  assert.equal(answer.role, 'NODE_ROLE_WORKER');
  assert.equal(answer.caKey + answer.routeSecret, '');
  const certificate = new X509Certificate(answer.certificate);
  assert.ok(certificate.verify(new X509Certificate(answer.caCertificate).publicKey));
  assert.equal(certificate.checkIP('10.0.0.2'), '10.0.0.2');
  assert.equal(cluster.state.nodes.get('worker')?.busKey, workerKey);
});

test('a node that joins as control waits as a worker, and is given what a control node needs', async (t) => {
  const cluster = makeCluster(t);
  const answer = await joinWith(cluster, await newToken(cluster, 'NODE_ROLE_CONTROL'));
  assert.equal(answer.role, 'NODE_ROLE_WORKER');
  assert.equal(answer.controlPending, true);
  assert.equal(answer.caKey, authority.key);
  assert.equal(answer.routeSecret, '5ec4e7');
  assert.equal(cluster.state.nodes.get('worker')?.controlPending, true);
});

test('a join that is repeated with its token gets the same answer; another node does not get in with it', async (t) => {
  const cluster = makeCluster(t);
  const token = await newToken(cluster);
  await joinWith(cluster, token);
  const again = await joinWith(cluster, token);
  assert.equal(again.role, 'NODE_ROLE_WORKER');
  await refused(
    cluster,
    joinWith(cluster, token, { nodeId: 'second', busKey: makeKey(), address: '10.0.0.3' }),
    'permission_denied',
    /was used already, by node worker/,
  );
});

test('a join is not repeated after the token has ended, nor once the node has renewed its lease', async (t) => {
  const cluster = makeCluster(t);
  const used = /was used already, by node worker/;
  const token = await newToken(cluster, 'NODE_ROLE_CONTROL', 60);
  await joinWith(cluster, token);
  cluster.joined.add('worker');
  await refused(cluster, joinWith(cluster, token), 'permission_denied', used);
  cluster.joined.clear();
  await joinWith(cluster, token);
  cluster.nowValue += minuteMs + 1;
  await refused(cluster, joinWith(cluster, token), 'permission_denied', used);
});

test('only who has proven a token for control hears whether another control node is of use', async (t) => {
  const cluster = makeCluster(t);
  const asked: string[] = [];
  const full: Cluster = {
    ...cluster,
    checkControlJoin: (id) => {
      asked.push(id);
      throw refusal('failed_precondition', 'JoinNode', 'cluster', 'there are enough');
    },
  };
  const token = await newToken(cluster, 'NODE_ROLE_CONTROL');
  const wrong = `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`;
  await refused(cluster, joinWith(full, wrong), 'permission_denied', /is wrong/);
  assert.deepEqual(asked, []);
  await refused(cluster, joinWith(full, token), 'failed_precondition', /there are enough/);
  assert.deepEqual(asked, ['worker']);
  await joinWith(full, await newToken(cluster));
  assert.deepEqual(asked, ['worker']);
});

test('two nodes that come with one token at once: one joins', async (t) => {
  const cluster = makeCluster(t);
  const token = await newToken(cluster);
  const results = await Promise.allSettled([
    joinWith(cluster, token),
    joinWith(cluster, token, { nodeId: 'second', busKey: makeKey(), address: '10.0.0.3' }),
  ]);
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  assert.equal(cluster.state.nodes.size, 2);
});

test('tokens that are wrong, foreign, expired, or for something else are refused, each with its reason', async (t) => {
  const cluster = makeCluster(t);
  const token = await newToken(cluster, 'NODE_ROLE_WORKER', 60);
  const denied = (text: string, message: RegExp): Promise<void> =>
    refused(cluster, joinWith(cluster, text), 'permission_denied', message);
  await denied('', /no token to join with/);
  await denied('gj1.worker.abc', /no token to join with/);
  await denied(
    `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`,
    /is wrong: this cluster does not know it/,
  );
  await denied(token.replace('.worker.', '.control.'), /is wrong/);
  await denied(await newToken(makeCluster(t, foreign)), /belongs to another cluster/);
  const api = await createApiToken(cluster, { name: 'ci', role: 'admin', ttlSeconds: 0 });
  await denied(api.token, /is for the api/);
  cluster.nowValue += minuteMs + 1;
  await denied(token, /has expired, at 2001-09-09T01:47:40/);
});

test('a node id or key that is taken, another release, a wrong clock: each is refused by name, and the token stays good', async (t) => {
  const cluster = makeCluster(t);
  const token = await newToken(cluster);
  const { nowValue } = cluster;
  const cases: readonly [Partial<control.JoinNodeRequest>, string, RegExp][] = [
    [{ nodeId: 'hub' }, 'already_exists', /the node id hub is taken by hub at 10\.0\.0\.1/],
    [{ busKey: hubKey }, 'already_exists', /node hub has the same key/],
    [
      { address: '10.0.0.1' },
      'already_exists',
      /cannot be told from hub \(node hub\), which is at 10\.0\.0\.1/,
    ],
    [
      { address: '10.0.0.1', leafPort: 9, routePort: 10, apiPort: 11 },
      'already_exists',
      /an address of its own/,
    ],
    [{ address: 'HUB' }, 'already_exists', /cannot be told from hub/],
    [{ version: '0.2.9' }, 'failed_precondition', /runs gantry 0\.2\.9, the cluster 0\.3\.1/],
    [{ version: '' }, 'failed_precondition', /of an unknown version/],
    [{ clockUnixMs: nowValue + 3_600_000 }, 'failed_precondition', /is 3600 s ahead of the cluster's/],
    [{ clockUnixMs: nowValue - 3_600_000 }, 'failed_precondition', /is 3600 s behind the cluster's/],
    [{ nodeId: 'a.b' }, 'invalid_argument', /"a\.b" is no id/],
    [{ nodeId: '*' }, 'invalid_argument', /is no id/],
    [{ nodeId: '' }, 'invalid_argument', /is no id/],
    [{ busKey: 'UABC' }, 'invalid_argument', /public key/],
    [{ hostname: 'a b' }, 'invalid_argument', /no name of a machine/],
    [{ address: '0.0.0.0' }, 'invalid_argument', /nobody can reach/],
    [{ address: '::' }, 'invalid_argument', /nobody can reach/],
    [{ address: '239.1.1.1' }, 'invalid_argument', /nobody can reach/],
    [{ address: '127.0.0.1' }, 'invalid_argument', /means each machine itself/],
    [{ address: '10.0.0.999' }, 'invalid_argument', /no address/],
    [{ address: 'x"y' }, 'invalid_argument', /no address/],
    [{ leafPort: 0 }, 'invalid_argument', /0 cannot be the leaf port/],
    [{ apiPort: 70_000 }, 'invalid_argument', /70000 cannot be the api port/],
    [{ certificateRequest: 'nonsense' }, 'invalid_argument', /certificate request/],
  ];
  for (const [parts, code, message] of cases)
    await refused(cluster, joinWith(cluster, token, parts), code, message);
  await joinWith(cluster, token, { clockUnixMs: nowValue + minuteMs - 1 });
});

test('a known node that lost its files joins again with its key, and keeps its labels', async (t) => {
  const cluster = makeCluster(t);
  await joinWith(cluster, await newToken(cluster));
  const record = cluster.state.nodes.get('worker');
  assert.ok(record !== undefined);
  cluster.state.apply({ kind: 'node', id: 'worker', value: { ...record, labels: { zone: 'eu' } } });
  await joinWith(cluster, await newToken(cluster), { address: '10.0.0.7' });
  assert.deepEqual(cluster.state.nodes.get('worker')?.labels, { zone: 'eu' });
  assert.equal(cluster.state.nodes.get('worker')?.address, '10.0.0.7');
});

test('a token that lasts too short or too long is refused, and old ones are forgotten', async (t) => {
  const cluster = makeCluster(t);
  for (const ttlSeconds of [1, 59, 2_592_001])
    await refused(
      cluster,
      createJoinToken(cluster, { role: 'NODE_ROLE_WORKER', ttlSeconds }),
      'invalid_argument',
      /60 to 2592000 seconds/,
    );
  await newToken(cluster, 'NODE_ROLE_WORKER', 60);
  cluster.nowValue += 3 * 86_400_000;
  await newToken(cluster);
  assert.equal(cluster.state.joinTokens.size, 1);
});

test('tokens for the api are made once per name, listed without what is secret, and revoked by name or id', async (t) => {
  const cluster = makeCluster(t);
  const { token, stored } = await createApiToken(cluster, { name: 'ci', role: 'read', ttlSeconds: 60 });
  assert.match(token, /^ga1\.[0-9a-f]{64}\./);
  assert.equal(stored?.expiresUnixMs, cluster.nowValue + minuteMs);
  await refused(
    cluster,
    createApiToken(cluster, { name: 'ci', role: 'read', ttlSeconds: 0 }),
    'already_exists',
    /there is a token ci/,
  );
  for (const parts of [{ name: '' }, { name: 'a b' }, { role: 'root' }])
    await refused(
      cluster,
      createApiToken(cluster, { name: 'x', role: 'read', ttlSeconds: 0, ...parts }),
      'invalid_argument',
      /cannot be the name|role is admin, read or metrics/,
    );
  assert.deepEqual(
    listApiTokens(cluster).map(({ name, secretSha256 }) => [name, secretSha256]),
    [['ci', '']],
  );
  await refused(cluster, revokeApiToken(cluster, 'none'), 'not_found', /there is no token none/);
  await revokeApiToken(cluster, 'ci');
  assert.equal(cluster.state.apiTokens.size, 0);
});

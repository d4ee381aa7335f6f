import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer as createHttpsServer, type Server } from 'node:https';
import { createServer as createPlainServer, type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { hashSecret, makeToken, membershipPaths, readMembership, readView } from '@gantry/membership';
import {
  createAuthority,
  createRequest,
  fingerprintOf,
  signRequest,
  type Authority,
  type CertificateSubject,
} from '@gantry/membership/certificates';
import type { control } from '@gantry/protocol';
import { ScriptedControl, TestServer, freePort } from '../testing/scripted-control.js';
import { callContext, ScriptedMember } from '../testing/scripted-member.js';
import { parseControlAddress } from './join-request.js';
import { checkApiToken } from './membership-service.js';
import { addressOfDefaultRoute, checkAddress } from './own-address.js';

interface Scene {
  readonly control: ScriptedControl;
  readonly member: ScriptedMember;
  readonly directory: string;
}

async function scene(t: TestContext): Promise<Scene> {
  const server = await TestServer.start();
  const control = await ScriptedControl.start(server.url);
  const member = new ScriptedMember(server.url);
  t.after(async () => {
    await member[Symbol.asyncDispose]();
    await control[Symbol.asyncDispose]();
    await server.stop();
  });
  member.cluster.start();
  return { control, member, directory: member.world.agent.context.config.state_dir };
}

/** A control node's api: answers joins as a test says. */
async function startApi(
  t: TestContext,
  authority: Authority,
  answer: (wish: control.JoinNodeRequest) => Promise<{ status: number; body: unknown }>,
  { address, role }: Omit<CertificateSubject, 'nodeId'> = { address: '127.0.0.1', role: 'control' },
  host = '127.0.0.1',
): Promise<{ readonly port: number; readonly wishes: control.JoinNodeRequest[] }> {
  const { request, key } = await createRequest('leader');
  const certificate = await signRequest(authority, request, {
    nodeId: 'leader',
    address,
    role,
  });
  const wishes: control.JoinNodeRequest[] = [];
  const server: Server = createHttpsServer(
    { key, cert: certificate + authority.certificate },
    (incoming, outgoing) => {
      let text = '';
      incoming.on('data', (chunk: Buffer) => (text += chunk.toString()));
      incoming.on('end', () => {
        const wish = JSON.parse(text) as control.JoinNodeRequest;
        wishes.push(wish);
        void answer(wish).then(({ status, body }) => {
          outgoing.writeHead(status, { 'content-type': 'application/json' });
          outgoing.end(typeof body === 'string' ? body : JSON.stringify(body));
        });
      });
    },
  );
  server.listen(0, host);
  await once(server, 'listening');
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, wishes };
}

async function accept(
  authority: Authority,
  wish: control.JoinNodeRequest,
): Promise<{ status: number; body: unknown }> {
  const certificate = await signRequest(authority, wish.certificateRequest, {
    nodeId: wish.nodeId,
    address: wish.address,
    role: 'worker',
  });
  const member = {
    nodeId: 'leader',
    role: 'NODE_ROLE_CONTROL',
    address: '192.0.2.9',
    leafPort: 4323,
    apiPort: 4330,
  };
  return {
    status: 200,
    body: {
      clusterId: 'c1',
      certificate,
      caCertificate: authority.certificate,
      role: 'NODE_ROLE_WORKER',
      controlPending: false,
      view: { clusterId: 'c1', storeGeneration: 1, revision: 3, members: [member], apiTokens: [] },
      caKey: '',
      routeSecret: '',
    },
  };
}

test('a node makes a cluster of itself: keys, certificates and view are there when it answers', async (t) => {
  const { member, directory } = await scene(t);
  const first = callContext();
  const made = member.membership.InitCluster({ address: '192.0.2.1' }, first);
  const repeated = member.membership.InitCluster({ address: '192.0.2.1' }, { ...first });
  const { clusterId, address } = await made;
  assert.deepEqual(
    await repeated,
    { clusterId, address },
    'the same request, sent again, is the same cluster',
  );
  assert.equal(address, '192.0.2.1');
  const paths = membershipPaths(directory);
  for (const path of [paths.caKey, paths.routeSecret, paths.key, paths.certificate, paths.membership])
    assert.equal(statSync(path).mode & 0o777, 0o600, path);
  const ca = new X509Certificate(readFileSync(paths.caCertificate));
  const own = new X509Certificate(readFileSync(paths.certificate));
  assert.ok(own.verify(ca.publicKey));
  assert.equal(own.checkIP('192.0.2.1'), '192.0.2.1');
  const view = readView(directory);
  assert.equal(view?.seedingNodeId, 'node');
  assert.match(view.members[0]?.busKey ?? '', /^U[A-Z2-7]{55}$/);
  assert.equal(readMembership(directory)?.role, 'control');
  await assert.rejects(member.membership.InitCluster({ address: '' }, callContext()), {
    code: 'failed_precondition',
    message: new RegExp(`in cluster ${clusterId} already`),
  });
});

test('a node joins by a token: only a server of its cluster is asked, and the answer makes it a member', async (t) => {
  const { member, directory } = await scene(t);
  const authority = await createAuthority('c1');
  const api = await startApi(t, authority, (wish) => accept(authority, wish));
  const { token } = makeToken('gj1', 'worker', fingerprintOf(authority.certificate));
  const request = { controlAddress: `127.0.0.1:${api.port}`, token, address: '192.0.2.2' };
  const joined = await member.membership.JoinCluster(request, callContext());
  assert.deepEqual(joined, { clusterId: 'c1', role: 'NODE_ROLE_WORKER', controlPending: false });
  assert.equal(api.wishes[0]?.nodeId, 'node');
  assert.equal(api.wishes[0].address, '192.0.2.2');
  assert.ok(Math.abs(api.wishes[0].clockUnixMs - Date.now()) < 30_000);
  assert.ok(!JSON.stringify(api.wishes).includes('PRIVATE KEY'), 'its key never leaves the node');
  assert.deepEqual(readView(directory)?.members[0]?.routePort, 0, 'what JSON left out is there');
  assert.ok(!existsSync(membershipPaths(directory).caKey));
  assert.deepEqual(
    await member.membership.JoinCluster(request, callContext()),
    joined,
    'once more is no harm',
  );
  const other = makeToken('gj1', 'worker', 'ab'.repeat(32)).token;
  await assert.rejects(
    member.membership.JoinCluster({ ...request, token: other }, callContext()),
    /in cluster c1 already/,
  );
});

test('a server of another cluster is told nothing', async (t) => {
  const { member, directory } = await scene(t);
  const foreign = await createAuthority('c1');
  const api = await startApi(t, foreign, (wish) => accept(foreign, wish));
  const { token } = makeToken('gj1', 'worker', fingerprintOf((await createAuthority('c1')).certificate));
  await assert.rejects(
    member.membership.JoinCluster(
      { controlAddress: `127.0.0.1:${api.port}`, token, address: '192.0.2.2' },
      callContext(),
    ),
    { code: 'permission_denied', message: /is not of the cluster that the token names/ },
  );
  assert.equal(api.wishes.length, 0);
  assert.equal(readMembership(directory), undefined);
});

test('whatever goes wrong in a join is one clear sentence, and leaves nothing', async (t) => {
  const { member, directory } = await scene(t);
  const authority = await createAuthority('c1');
  const { token } = makeToken('gj1', 'worker', fingerprintOf(authority.certificate));
  const refused = {
    code: 'permission_denied',
    message: 'the token has been used',
    operation: 'JoinNode',
    object: '',
  };
  const answers: { status: number; body: unknown }[] = [
    { status: 403, body: refused },
    { status: 502, body: '<html>' },
    { status: 200, body: { clusterId: 'c1' } },
  ];
  const api = await startApi(t, authority, () =>
    Promise.resolve(answers.shift() ?? { status: 500, body: '' }),
  );
  const plain = createPlainServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(
    0,
    '127.0.0.1',
  );
  await once(plain, 'listening');
  t.after(() => plain.close());
  const there = `127.0.0.1:${api.port}`;
  const cases: [string, string, string, RegExp][] = [
    [there, 'gj1.nonsense', 'invalid_argument', /not one that gantry cluster token gives/],
    [there, makeToken('ga1', undefined, 'ab'.repeat(32)).token, 'invalid_argument', /is one for the api/],
    ['a b', token, 'invalid_argument', /"a b" is not ADDRESS/],
    [there, token, 'permission_denied', /^the token has been used$/],
    [there, token, 'unavailable', /HTTP status 502/],
    [there, token, 'data_loss', /certificates that do not belong/],
    [`127.0.0.1:${await freePort()}`, token, 'unavailable', /the connection was refused/],
    [`127.0.0.1:${(plain.address() as AddressInfo).port}`, token, 'unavailable', /does not speak TLS/],
  ];
  for (const [controlAddress, given, code, message] of cases)
    await assert.rejects(
      member.membership.JoinCluster({ controlAddress, token: given, address: '192.0.2.2' }, callContext()),
      { code, message },
    );
  assert.ok(!existsSync(membershipPaths(directory).directory), 'nothing is half made');
});

test('a node of the right cluster that is no control node, or is at another address, is told nothing', async (t) => {
  const { member, directory } = await scene(t);
  const authority = await createAuthority('c1');
  const { token } = makeToken('gj1', 'worker', fingerprintOf(authority.certificate));
  const cases = [
    ['127.0.0.1', { address: '127.0.0.1', role: 'worker' }, /is not of a control node; nothing was sent/],
    ['127.0.0.2', { address: '192.0.2.9', role: 'control' }, /not for 127\.0\.0\.2; nothing was sent/],
  ] as const;
  for (const [host, subject, message] of cases) {
    const api = await startApi(t, authority, (wish) => accept(authority, wish), subject, host);
    await assert.rejects(
      member.membership.JoinCluster(
        { controlAddress: `${host}:${api.port}`, token, address: '192.0.2.2' },
        callContext(),
      ),
      { code: 'permission_denied', message },
    );
    assert.equal(api.wishes.length, 0);
  }
  assert.ok(!existsSync(membershipPaths(directory).directory));
});

test('what failed is tried again when it is asked again, and each method has answers of its own', async (t) => {
  const { member } = await scene(t);
  const asked = callContext();
  await assert.rejects(member.membership.InitCluster({ address: '0.0.0.0' }, asked), {
    code: 'invalid_argument',
  });
  await assert.rejects(member.membership.LeaveCluster({ force: true }, asked), /is in no cluster/);
  const { address } = await member.membership.InitCluster({ address: '192.0.2.1' }, asked);
  assert.equal(address, '192.0.2.1');
  assert.deepEqual(await member.membership.LeaveCluster({ force: true }, asked), {});
});

test('a token for the api is known by its secret until it ends', () => {
  const view = {
    apiTokens: [
      {
        id: 'a',
        name: 'graphs',
        role: 'metrics',
        secretSha256: hashSecret('s'),
        createdUnixMs: 0,
        expiresUnixMs: 100,
      },
    ],
  } as unknown as control.ClusterView;
  assert.deepEqual(checkApiToken(view, 'a', 's', 99), { role: 'metrics', name: 'graphs' });
  for (const [id, secret, now] of [
    ['a', 's', 100],
    ['a', 't', 99],
    ['b', 's', 99],
  ] as const)
    assert.deepEqual(checkApiToken(view, id, secret, now), { role: '', name: '' });
  assert.deepEqual(checkApiToken(undefined, 'a', 's', 0), { role: '', name: '' });
});

test('the own address is that of the default route’s interface; what is none is refused', () => {
  const routes = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask',
    'eth1\t00000000\t010000C0\t0003\t0\t0\t200\t00000000',
    'eth0\t00000000\t010000C0\t0003\t0\t0\t100\t00000000',
    'eth2\t000000C0\t00000000\t0001\t0\t0\t0\t00FFFFFF',
  ].join('\n');
  const at = (address: string) =>
    [{ address, family: 'IPv4', internal: false, netmask: '', mac: '', cidr: null }] as never;
  assert.equal(addressOfDefaultRoute(routes, { eth0: at('192.0.2.5'), eth1: at('192.0.2.6') }), '192.0.2.5');
  assert.equal(addressOfDefaultRoute('', { eth0: at('192.0.2.5') }), undefined);
  for (const good of ['192.0.2.5', '2001:db8::1', 'one.example', '127.0.0.1']) checkAddress(good, 'x');
  for (const bad of ['0.0.0.0', '::', 'a b', '300.1.1.1', '-x', 'http://x'])
    assert.throws(() => checkAddress(bad, 'x'), { code: 'invalid_argument' }, bad);
});

test('addresses of control nodes are taken with and without a port', () => {
  assert.deepEqual(parseControlAddress('192.0.2.9'), {
    host: '192.0.2.9',
    port: 4330,
    text: '192.0.2.9:4330',
  });
  assert.equal(parseControlAddress('[2001:db8::1]:1').text, '[2001:db8::1]:1');
  assert.equal(parseControlAddress('2001:db8::1').port, 4330);
  for (const bad of ['', 'a:b', 'a:0', 'a:70000', 'https://a'])
    assert.throws(() => parseControlAddress(bad), { code: 'invalid_argument' });
});

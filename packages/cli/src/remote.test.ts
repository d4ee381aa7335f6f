import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { X509Certificate } from 'node:crypto';
import { refusalOf } from '@gantry/membership/server-certificate';
import { fingerprintIn, parseRemoteAddress } from './client/remote-transport.js';
import { TestAuthority, type IssuedCertificate } from './testing/authority.js';
import { GantryUnderTest, type Finished } from './testing/command-line.js';
import { nodeDocument } from './testing/cluster-documents.js';
import { document, failure, ScriptedApi } from './testing/scripted-api.js';

let directory: string;
let home: string;
let api: ScriptedApi;
let authority: TestAuthority;
let issued: IssuedCertificate;
let port: number;
let token: string;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-test-cli-tls-'));
  home = join(directory, 'home');
  mkdirSync(home);
  authority = new TestAuthority(directory);
  issued = authority.issue('IP:127.0.0.1,DNS:localhost');
  token = `ga1.${authority.fingerprint}.${'1'.repeat(12)}.${'2'.repeat(40)}`;
  api = await ScriptedApi.start();
  port = await api.listenWithTls(issued.chain, issued.key);
  api.script = { 'GET /v1/nodes': document({ nodes: [nodeDocument('one')] }) };
});
after(() => {
  api.stop();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  api.asked.length = 0;
});

/** On a machine that is no node. */
async function run(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const child = new GantryUnderTest('/nowhere').start(words, {
    GANTRY_RUN_DIR: undefined,
    HOME: home,
    XDG_CONFIG_HOME: undefined,
    ...environment,
  });
  child.stdin.end();
  return child.finished;
}

const at = (host: string, bearer = token): NodeJS.ProcessEnv => ({ GANTRY_HOST: host, GANTRY_TOKEN: bearer });

async function refused(environment: NodeJS.ProcessEnv): Promise<string> {
  const { exitCode, stdout, stderr } = await run(['node', 'ls', '-q'], environment);
  assert.deepEqual([exitCode, stdout], [1, '']);
  assert.equal(stderr.trim().split('\n').length, 1, stderr);
  return stderr;
}

test('the api of a cluster is asked over TLS, with the token, by address and by name', async () => {
  for (const host of [`tcp://127.0.0.1:${port}`, `https://localhost:${port}`]) {
    const { exitCode, stdout, stderr } = await run(['node', 'ls', '-q'], at(host));
    assert.deepEqual([exitCode, stdout], [0, 'id-of-one\n'], stderr);
    assert.equal(api.asked.at(-1)?.authorization, `Bearer ${token}`);
  }
});

test('a server of another cluster, or one that only pretends, is told nothing', async () => {
  const other = token.replace(authority.fingerprint, '0'.repeat(64));
  assert.match(
    await refused(at(`tcp://127.0.0.1:${port}`, other)),
    /is not of the cluster that the token names .*nothing was sent to it/,
  );
  // Sends the right authority's certificate behind one that another signed.
  const forger = mkdtempSync(join(directory, 'forger-'));
  const forged = new TestAuthority(forger).issue('IP:127.0.0.1');
  const leaf = forged.chain.split(/(?<=-----END CERTIFICATE-----\n)/)[0] ?? '';
  const pretending = await api.listenWithTls(leaf + authority.certificate, forged.key);
  assert.match(await refused(at(`tcp://127.0.0.1:${pretending}`)), /nothing was sent to it/);
  assert.equal(api.asked.length, 0);
});

test('a certificate for another address, another use or another time is refused', () => {
  const chainOf = (names: string, use?: string): X509Certificate => {
    const { chain } = authority.issue(names, use);
    const [leaf = '', ca = ''] = chain.split(/(?<=-----END CERTIFICATE-----\n)/);
    const certificate = new X509Certificate(leaf);
    Object.defineProperty(certificate, 'issuerCertificate', { value: new X509Certificate(ca) });
    return certificate;
  };
  const refusal = (leaf: X509Certificate, host: string, now?: number): string | undefined =>
    refusalOf(leaf, host, authority.fingerprint, { now });
  const good = chainOf('IP:192.0.2.1,DNS:one.example');
  assert.equal(refusal(good, '192.0.2.1'), undefined);
  assert.equal(refusal(good, 'one.example'), undefined);
  assert.match(
    refusal(good, '192.0.2.2') ?? '',
    /a certificate for IP.*192\.0\.2\.1.*, not for 192\.0\.2\.2/,
  );
  assert.match(refusal(good, 'two.example') ?? '', /not for two\.example/);
  assert.match(refusal(good, '192.0.2.1', Date.now() + 10 * 86_400_000) ?? '', /not now: is a clock wrong/);
  assert.match(refusal(chainOf('IP:192.0.2.1', 'clientAuth'), '192.0.2.1') ?? '', /not for servers/);
  assert.match(refusalOf(undefined, '192.0.2.1', authority.fingerprint) ?? '', /no certificate/);
});

test('no token, a wrong one and a refused one are a sentence each', async () => {
  const host = `tcp://127.0.0.1:${port}`;
  assert.match(await refused(at(host, '')), /wants a token .*GANTRY_TOKEN/);
  assert.match(await refused(at(host, 'secret')), /the token is not one for the api/);
  const before = api.script;
  api.script = { 'GET /v1/nodes': failure(403, 'permission_denied', 'this token was revoked') };
  assert.equal(await refused(at(host)), 'gantry node: this token was revoked\n');
  api.script = before;
});

test('nobody there, no such name, and something else that listens are a sentence each', async () => {
  const other: Server = createServer((socket) =>
    socket
      .on('error', () => undefined)
      .resume()
      .end('220 hello\r\n'),
  );
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const otherPort = (other.address() as AddressInfo).port;
  assert.match(await refused(at(`tcp://127.0.0.1:${otherPort}`)), /does not speak TLS as gantry's api does/);
  other.close();
  await once(other, 'close');
  assert.match(await refused(at(`tcp://127.0.0.1:${otherPort}`)), /nothing listens at tcp:\/\/127\.0\.0\.1/);
  assert.match(await refused(at('tcp://no-such-host.invalid')), /no-such-host\.invalid has no address/);
});

test('a node is started and stopped where it is', async () => {
  for (const verb of ['up', 'down']) {
    const { exitCode, stderr } = await run([verb], at(`tcp://127.0.0.1:${port}`));
    assert.equal(exitCode, 1);
    assert.match(stderr, /on this machine only/);
  }
  assert.equal(api.asked.length, 0);
});

test('a context keeps address and token, for its owner alone; flags and variables beat it', async () => {
  const must = async (words: readonly string[], environment?: NodeJS.ProcessEnv): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(words, environment);
    assert.equal(exitCode, 0, stderr);
    return stdout;
  };
  const host = `tcp://127.0.0.1:${port}`;
  assert.equal(await must(['context', 'create', 'lab', '--host', host, '--token', token]), 'lab\n');
  const path = join(home, '.config/gantry/contexts.json');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.match(await must(['context', 'ls']), /^NAME +CURRENT +HOST\ndefault +\* +this node\nlab +tcp:/);
  assert.ok(!(await must(['context', 'ls', '--format', 'json'])).includes(token));
  assert.equal(await must(['--context', 'lab', 'node', 'ls', '-q']), 'id-of-one\n');
  assert.equal(await must(['node', 'ls', '-q'], { GANTRY_CONTEXT: 'lab' }), 'id-of-one\n');
  assert.equal(await must(['context', 'use', 'lab']), 'lab\n');
  assert.equal(await must(['context', 'show']), 'lab\n');
  assert.equal(await must(['node', 'ls', '-q']), 'id-of-one\n');
  // Whoever names a node's directory or another host means that.
  for (const [words, environment] of [
    [['--context', 'default', 'ps'], {}],
    [['--host', 'unix:///nowhere/api.sock', 'ps'], {}],
    [['ps'], { GANTRY_RUN_DIR: '/nowhere' }],
  ] as const) {
    const { stderr } = await run(words, { GANTRY_RUN_DIR: '/nowhere', ...environment });
    assert.match(stderr, /gantry is not running on this node: no answer at unix:\/\/\/nowhere/);
  }
  const again = await run(['context', 'create', 'lab', '--host', host, '--token', token]);
  assert.match(again.stderr, /there is a context "lab" already/);
  const unknown = await run(['--context', 'moon', 'ps']);
  assert.match(unknown.stderr, /there is no context "moon"/);
  const removed = await run(['context', 'rm', 'lab']);
  assert.deepEqual([removed.exitCode, removed.stdout], [0, 'lab\n']);
  assert.match(removed.stderr, /was in use/);
  assert.equal(await must(['context', 'show']), 'default\n');
  assert.ok(!readFileSync(path, 'utf8').includes(token));
});

test('a context that cannot work is refused when it is made, and a broken file when it is read', async () => {
  const create = async (name: string, host: string, bearer: string): Promise<string> => {
    const { exitCode, stderr } = await run(['context', 'create', name, '--host', host, '--token', bearer]);
    assert.equal(exitCode, 1);
    return stderr;
  };
  assert.match(await create('x', 'tcp://127.0.0.1', 'nonsense'), /not one for the api/);
  assert.match(await create('x', '127.0.0.1', token), /not of the form tcp:\/\/ADDRESS/);
  assert.match(await create('default', 'tcp://127.0.0.1', token), /cannot be a context's name/);
  assert.match(await create('../x', 'tcp://127.0.0.1', token), /cannot be a context's name/);
  const config = join(directory, 'config');
  mkdirSync(join(config, 'gantry'), { recursive: true });
  writeFileSync(join(config, 'gantry/contexts.json'), '{');
  const broken = await run(['ps'], { XDG_CONFIG_HOME: config });
  assert.equal(broken.exitCode, 1);
  assert.match(broken.stderr, /contexts\.json does not hold contexts/);
});

test('addresses are read as docker writes them', () => {
  assert.deepEqual(parseRemoteAddress('tcp://192.0.2.1'), { host: '192.0.2.1', port: 4330 });
  assert.deepEqual(parseRemoteAddress('https://one.example:1/'), { host: 'one.example', port: 1 });
  assert.deepEqual(parseRemoteAddress('tcp://[2001:db8::1]:99'), { host: '2001:db8::1', port: 99 });
  for (const text of [
    'tcp://',
    'tcp://a:0',
    'tcp://a:65536',
    'tcp://a/b',
    'http://a',
    'a',
    'tcp://a b',
    'tcp://::1',
  ])
    assert.equal(parseRemoteAddress(text), undefined, text);
  assert.throws(() => fingerprintIn('gj1.x', 'here'), /here: the token is not one/);
});

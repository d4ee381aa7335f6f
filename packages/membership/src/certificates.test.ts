import assert from 'node:assert/strict';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { createAuthority, createRequest, fingerprintOf, signRequest } from './certificates.js';

const subject = { nodeId: '00112233aabbccdd', address: '192.0.2.7', role: 'worker' } as const;

test("a node's certificate is signed by the authority, for its address and id, and belongs to its key", async () => {
  const authority = await createAuthority('c1');
  const { request, key } = await createRequest(subject.nodeId);
  const certificate = new X509Certificate(await signRequest(authority, request, subject));
  const issuer = new X509Certificate(authority.certificate);
  assert.ok(certificate.verify(issuer.publicKey));
  assert.ok(certificate.checkIssued(issuer));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(key)));
  assert.equal(certificate.checkIP('192.0.2.7'), '192.0.2.7');
  assert.equal(certificate.checkHost(subject.nodeId), subject.nodeId);
  assert.equal(certificate.checkHost('other'), undefined);
  // What every node could say of itself, a certificate must not.
  assert.equal(certificate.checkHost('localhost'), undefined);
  assert.equal(certificate.checkIP('127.0.0.1'), undefined);
  assert.equal(certificate.ca, false);
  assert.equal(issuer.ca, true);
  assert.match(fingerprintOf(authority.certificate), /^[0-9a-f]{64}$/);
  assert.equal(fingerprintOf(issuer.raw), fingerprintOf(authority.certificate));
});

test('a name instead of an address is taken as DNS', async () => {
  const authority = await createAuthority('c1');
  const { request } = await createRequest('n');
  const pem = await signRequest(authority, request, { ...subject, address: 'one.example' });
  assert.equal(new X509Certificate(pem).checkHost('one.example'), 'one.example');
});

test('a request that is none, or was changed, is refused by one sentence', async () => {
  const authority = await createAuthority('c1');
  const { request } = await createRequest('n');
  const [head = '', ...body] = request.trim().split('\n');
  const bytes = Buffer.from(body.slice(0, -1).join(''), 'base64');
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  const changed = `${head}\n${bytes.toString('base64')}\n${body.at(-1)}\n`;
  for (const wrong of ['', 'nonsense', changed, authority.certificate])
    await assert.rejects(signRequest(authority, wrong, subject), {
      code: 'invalid_argument',
      message: /certificate request of node 00112233aabbccdd/,
    });
});

test('two nodes of a cluster trust each other over TLS, and nobody of another cluster', async () => {
  const authority = await createAuthority('c1');
  const other = await createAuthority('c1');
  const identity = async (from: typeof authority): Promise<{ cert: string; key: string }> => {
    const { request, key } = await createRequest('n');
    return { cert: await signRequest(from, request, { ...subject, address: '127.0.0.1' }), key };
  };
  const server = createServer(
    {
      ...(await identity(authority)),
      ca: authority.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    },
    (socket) => socket.end('welcome'),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const greet = async (who: { cert: string; key: string }): Promise<string> => {
    const socket = connect({ host: '127.0.0.1', port, ca: authority.certificate, ...who });
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await once(socket, 'close').catch(() => undefined);
    return text;
  };
  try {
    assert.equal(await greet(await identity(authority)), 'welcome');
    assert.equal(await greet(await identity(other)), '');
  } finally {
    server.close();
  }
});

import { X509Certificate as NodeCertificate, createHash, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { GantryError } from '@gantry/protocol';
import type * as X509 from '@peculiar/x509';

/**
 * The certificates of a cluster: an authority of its own, and one certificate a node, good for mutual TLS between nodes
 * and for the node's api. Keys are ECDSA P-256 and never leave the machine that made them.
 */

/** PEM texts of an authority. */
export interface Authority {
  readonly certificate: string;
  /** PKCS#8. A secret. */
  readonly key: string;
}

export interface CertificateSubject {
  readonly nodeId: string;
  /** IP address or DNS name under which others reach the node. */
  readonly address: string;
  readonly role: 'control' | 'worker';
}

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;
const authorityYears = 20;
const nodeYears = 10;

/** Large, and needed only when a cluster begins or a node joins. */
async function loadX509(): Promise<typeof X509> {
  // What x509 is built upon wants it there first.
  await import('reflect-metadata');
  // A CommonJS package: bundled, it has no named exports.
  const x509 = await import('@peculiar/x509');
  return (x509 as unknown as { readonly default?: typeof X509 }).default ?? x509;
}

/** A new cluster's own authority. */
export async function createAuthority(clusterId: string): Promise<Authority> {
  const x509 = await loadX509();
  const keys = await createKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ O: ['Gantry'] }, { CN: [`gantry cluster ${clusterId}`] }],
    ...validity(authorityYears),
    signingAlgorithm: keyAlgorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate.toString('pem')), key: await exportKey(keys) };
}

/** A node's key and its wish for a certificate: PKCS#10 and PKCS#8, PEM. */
export async function createRequest(
  nodeId: string,
): Promise<{ readonly request: string; readonly key: string }> {
  const x509 = await loadX509();
  const keys = await createKeys();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ O: ['Gantry'] }, { CN: [nodeId] }],
    keys,
    signingAlgorithm: keyAlgorithm,
  });
  return { request: pem(request.toString('pem')), key: await exportKey(keys) };
}

/**
 * Signs a node's wish. Only its public key is taken from it: names and uses are the authority's to say. Throws
 * `invalid_argument` for what is no request, or one not signed with its own key.
 */
export async function signRequest(
  authority: Authority,
  request: string,
  { nodeId, address, role }: CertificateSubject,
): Promise<string> {
  const x509 = await loadX509();
  const wish = await readRequest(x509, request, nodeId);
  const issuer = new x509.X509Certificate(authority.certificate);
  const names = [
    isIP(address) === 0
      ? ({ type: 'dns', value: address } as const)
      : ({ type: 'ip', value: address } as const),
    { type: 'dns', value: nodeId } as const,
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ O: ['Gantry'] }, { OU: [role] }, { CN: [nodeId] }],
    issuer: issuer.subjectName,
    ...validity(nodeYears),
    signingAlgorithm: keyAlgorithm,
    publicKey: wish.publicKey,
    signingKey: await importKey(authority.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension(names),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return pem(certificate.toString('pem'));
}

/** SHA-256 of a certificate, 64 hex digits: what tokens carry of the authority. */
export function fingerprintOf(certificate: string | Uint8Array): string {
  const raw = typeof certificate === 'string' ? new NodeCertificate(certificate).raw : certificate;
  return createHash('sha256').update(raw).digest('hex');
}

async function readRequest(
  x509: typeof X509,
  request: string,
  nodeId: string,
): Promise<X509.Pkcs10CertificateRequest> {
  try {
    const wish = new x509.Pkcs10CertificateRequest(request);
    if (await wish.verify()) return wish;
  } catch {
    // told below
  }
  throw new GantryError({
    code: 'invalid_argument',
    operation: 'sign certificate',
    object: nodeId,
    message: `the certificate request of node ${nodeId} is none, or is not signed with its own key`,
  });
}

/** Valid from an hour ago, for nodes whose clocks are behind. */
function validity(years: number): { readonly notBefore: Date; readonly notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - hourMs), notAfter: new Date(now + years * yearMs) };
}

/** Positive, 16 bytes: RFC 5280 section 4.1.2.2. */
function serialNumber(): string {
  const bytes = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)));
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
}

function createKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

async function exportKey({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', privateKey));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
}

function importKey(text: string): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(text.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return webcrypto.subtle.importKey('pkcs8', der, keyAlgorithm, false, ['sign']);
}

const pem = (text: string): string => `${text.trim()}\n`;

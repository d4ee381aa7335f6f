import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { ApiFailure, NobodyAnswers } from '../failures.js';
import type { RemoteAddress } from './remote-transport.js';

const connectTimeoutMs = 10_000;
const keepAliveMs = 15_000;
const serverAuthentication = '1.3.6.1.5.5.7.3.1';

/**
 * Connects to a server whose certificate was signed by the authority with this fingerprint, and is for this address.
 * The system's authorities have no say: the chain is checked here, before a byte is sent.
 */
export function openPinned(
  remote: RemoteAddress,
  address: string,
  caFingerprint: string,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const { host, port } = remote;
    const socket = connect({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(
      () => fail(absent(address, `no answer from ${address} within ${connectTimeoutMs / 1000} s`)),
      connectTimeoutMs,
    );
    const onError = (error: NodeJS.ErrnoException): void => fail(describe(error, host, address));
    const onClose = (): void =>
      fail(absent(address, `${address} closed the connection before it showed a certificate`));
    socket.once('error', onError).once('close', onClose);
    socket.once('secureConnect', () => {
      const why = refusalOf(socket.getPeerX509Certificate(), host, caFingerprint);
      if (why !== undefined) {
        fail(
          new ApiFailure({
            code: 'permission_denied',
            object: address,
            message: `${address} ${why}; nothing was sent to it`,
          }),
        );
        return;
      }
      clearTimeout(timer);
      socket.off('error', onError).off('close', onClose);
      // Failures are seen by whoever reads.
      socket.on('error', () => undefined);
      socket.setKeepAlive(true, keepAliveMs);
      resolve(socket);
    });
  });
}

/** Why the server is not spoken to; undefined when it is the right one. */
export function refusalOf(
  leaf: X509Certificate | undefined,
  host: string,
  caFingerprint: string,
  now = Date.now(),
): string | undefined {
  if (leaf === undefined) return 'showed no certificate';
  const authority = lastOf(leaf);
  if (fingerprintOf(authority) !== caFingerprint)
    return `is not of the cluster that the token names (its certificate's authority is ${fingerprintOf(authority).slice(0, 12)}..., the token's ${caFingerprint.slice(0, 12)}...)`;
  if (!authority.ca || !leaf.checkIssued(authority) || !leaf.verify(authority.publicKey))
    return "has a certificate that the cluster's authority did not sign";
  for (const one of [leaf, authority])
    if (now < Date.parse(one.validFrom) || now > Date.parse(one.validTo))
      return `has a certificate that is valid from ${one.validFrom} to ${one.validTo}, and not now: is a clock wrong?`;
  if (!(leaf.keyUsage as readonly string[] | undefined)?.includes(serverAuthentication))
    return 'has a certificate that is not for servers';
  const named = isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(host);
  if (named === undefined)
    return `has a certificate for ${leaf.subjectAltName ?? 'no address'}, not for ${host}`;
  return undefined;
}

/** The end of the chain that the server sent. */
function lastOf(leaf: X509Certificate): X509Certificate {
  let last = leaf;
  // A chain from the authority itself is no longer than two; more is not needed, and a circle must not hold us.
  for (let length = 0; length < 4; length += 1) {
    const issuer = last.issuerCertificate;
    if (issuer === undefined || issuer.fingerprint256 === last.fingerprint256) break;
    last = issuer;
  }
  return last;
}

const fingerprintOf = ({ fingerprint256 }: X509Certificate): string =>
  fingerprint256.replaceAll(':', '').toLowerCase();

const absent = (address: string, message: string): NobodyAnswers =>
  new NobodyAnswers({ object: address, message });

function describe(error: NodeJS.ErrnoException, host: string, address: string): ApiFailure {
  switch (error.code) {
    case 'ECONNREFUSED':
      return absent(
        address,
        `nothing listens at ${address}: is gantry up there, and the node in a cluster? (the api of a node in no cluster is its socket alone)`,
      );
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return absent(address, `the name ${host} has no address`);
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return absent(address, `${address} cannot be reached (${error.code})`);
    default:
      return absent(address, `${address} does not speak TLS as gantry's api does: ${error.message}`);
  }
}

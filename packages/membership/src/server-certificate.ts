import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';

/** Shared by all who pin a cluster's authority; without the modules that make certificates, which are large. */

const serverAuthentication = '1.3.6.1.5.5.7.3.1';

export interface ServerRules {
  readonly now?: number | undefined;
  /** What the node has to be certified as; either, when absent. */
  readonly role?: 'control' | 'worker' | undefined;
}

/**
 * Why the server of this certificate is not spoken to; undefined when it is the right one: the authority that the token
 * names signed it, for this host, for servers, and for now.
 */
export function refusalOf(
  leaf: X509Certificate | undefined,
  host: string,
  caFingerprint: string,
  { now = Date.now(), role }: ServerRules = {},
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
  if (role !== undefined && roleOf(leaf) !== role) return `has a certificate that is not of a ${role} node`;
  return undefined;
}

/** What the authority certified the node as: the unit in its subject. */
function roleOf(leaf: X509Certificate): string {
  // Of several units, which only another hand can have put there, none counts.
  const unit: unknown = leaf.toLegacyObject().subject.OU;
  return typeof unit === 'string' ? unit : '';
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

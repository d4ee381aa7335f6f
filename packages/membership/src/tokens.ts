import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * Tokens that let a node join (`gj1`) or a person use the api over TLS (`ga1`). They name the cluster's authority, so that
 * whoever holds one knows the right cluster from any other before a secret is sent.
 *
 *   gj1.<worker|control>.<SHA-256 of the authority's certificate>.<id>.<secret>
 *   ga1.<SHA-256 of the authority's certificate>.<id>.<secret>
 */
export type TokenKind = 'gj1' | 'ga1';
export type JoinRole = 'worker' | 'control';

export interface Token {
  readonly kind: TokenKind;
  /** Join tokens only. */
  readonly role: JoinRole | undefined;
  readonly caFingerprint: string;
  readonly id: string;
  readonly secret: string;
}

/** A token as it is given out, once, and what is kept of it. */
export interface NewToken {
  readonly token: string;
  readonly id: string;
  /** SHA-256 of the secret, 64 hex digits. */
  readonly secretSha256: string;
}

/** Makes a token with a secret of 160 bits. */
export function makeToken(kind: 'gj1', role: JoinRole, caFingerprint: string): NewToken;
export function makeToken(kind: 'ga1', role: undefined, caFingerprint: string): NewToken;
export function makeToken(kind: TokenKind, role: JoinRole | undefined, caFingerprint: string): NewToken {
  const id = randomBytes(6).toString('hex');
  const secret = randomBytes(20).toString('hex');
  const parts = [kind, ...(role === undefined ? [] : [role]), caFingerprint, id, secret];
  return { token: parts.join('.'), id, secretSha256: hashSecret(secret) };
}

/** Undefined for what is no token. */
export function parseToken(text: string): Token | undefined {
  const match = /^(?:(gj1)\.(worker|control)|(ga1))\.([0-9a-f]{64})\.([0-9a-f]{12})\.([0-9a-f]{40})$/.exec(
    text.trim(),
  );
  if (match === null) return undefined;
  const [, join, role, , caFingerprint = '', id = '', secret = ''] = match;
  return {
    kind: join === undefined ? 'ga1' : 'gj1',
    role: role as JoinRole | undefined,
    caFingerprint,
    id,
    secret,
  };
}

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Compares in a time that says nothing of the secret. */
export function secretFits(secret: string, secretSha256: string): boolean {
  const expected = Buffer.from(secretSha256, 'hex');
  const given = Buffer.from(hashSecret(secret), 'hex');
  return expected.length === given.length && timingSafeEqual(expected, given);
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashSecret, makeToken, parseToken, secretFits } from './tokens.js';

const fingerprint = 'ab'.repeat(32);

test('a token says what it is for and which cluster it belongs to; its secret is kept by nobody', () => {
  const join = makeToken('gj1', 'worker', fingerprint);
  const parsed = parseToken(`${join.token}\n`);
  assert.equal(parsed?.kind, 'gj1');
  assert.equal(parsed.role, 'worker');
  assert.equal(parsed.caFingerprint, fingerprint);
  assert.equal(parsed.id, join.id);
  assert.equal(hashSecret(parsed.secret), join.secretSha256);
  assert.ok(secretFits(parsed.secret, join.secretSha256));
  assert.ok(!secretFits('0'.repeat(40), join.secretSha256));
  const api = parseToken(makeToken('ga1', undefined, fingerprint).token);
  assert.equal(api?.kind, 'ga1');
  assert.equal(api.role, undefined);
});

test('what is no token is none', () => {
  const { token } = makeToken('gj1', 'control', fingerprint);
  for (const text of [
    '',
    'gj1',
    token.slice(1),
    token.slice(0, -1),
    `${token}0`,
    token.replace('control', 'boss'),
    token.replace('gj1', 'ga1'),
  ])
    assert.equal(parseToken(text), undefined, text);
});

test('a damaged record of a secret fits nothing', () => {
  assert.ok(!secretFits('x', ''));
  assert.ok(!secretFits('x', 'zz'));
});

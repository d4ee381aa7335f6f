import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startError } from './start-failure.js';

test('not_found and permission_denied are for the command alone', () => {
  assert.equal(
    startError('StartContainer', 'id', { stage: 'execute', errno: 2, path: 'sh' }).code,
    'not_found',
  );
  assert.equal(
    startError('StartContainer', 'id', { stage: 'execute', errno: 8, path: 'sh' }).code,
    'permission_denied',
  );
  for (const errno of [1, 2, 13, 20, 22]) {
    const { code } = startError('StartContainer', 'id', { stage: 'mount overlay', errno, path: '' });
    assert.equal(code, 'invalid_argument');
  }
});

test('the message names the step, the object and the reason', () => {
  assert.equal(
    startError('StartContainer', 'id', { stage: 'open layer', errno: 2, path: '/l' }).message,
    'cannot open layer /l: no such file or directory (ENOENT)',
  );
});

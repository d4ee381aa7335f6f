import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startError } from './start-error.js';

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

test('a refusal for want of a capability names the capability', () => {
  const messageOf = (stage: string, errno: number, path: string): string =>
    startError('StartContainer', 'id', { stage, errno, path }).message;
  assert.equal(
    messageOf('set oom_score_adj', 13, '-500'),
    'cannot set oom_score_adj -500: lowering it needs CAP_SYS_RESOURCE, which Gantry does not have (EACCES)',
  );
  assert.match(messageOf('raise resource limit', 1, 'RLIMIT_CORE'), /RLIMIT_CORE: .* CAP_SYS_RESOURCE/);
  assert.match(messageOf('set scheduler', 1, 'SCHED_FIFO'), /SCHED_FIFO: .* CAP_SYS_NICE/);
});

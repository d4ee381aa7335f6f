import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countListening, withListening } from './listening.js';

const own = { args: ['true'], cwd: '/', env: ['PATH=/bin'], user: { uid: 0, gid: 0 } };

test('descriptors of socket activation go on to the program, as its pid 1, with their names', () => {
  const environment = { LISTEN_FDS: '2', LISTEN_PID: '7', LISTEN_FDNAMES: 'web:admin' };
  assert.equal(countListening(environment, 7), 2);
  assert.deepEqual(withListening(own, environment, 7).env, [
    'PATH=/bin',
    'LISTEN_FDS=2',
    'LISTEN_PID=1',
    'LISTEN_FDNAMES=web:admin',
  ]);
});

test('descriptors that were meant for another process, or are no number, are not handed on', () => {
  for (const environment of [{ LISTEN_FDS: '2', LISTEN_PID: '8' }, { LISTEN_FDS: 'many' }, {}]) {
    assert.equal(countListening(environment, 7), 0);
    assert.equal(withListening(own, environment, 7), own);
  }
});

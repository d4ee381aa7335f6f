import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkProcessShape, checkSpecShape } from './spec-shape.js';

const wrong: readonly (readonly [object, string])[] = [
  [{ process: { args: 5 } }, 'process.args is not a list'],
  [{ process: { args: ['a', 1] } }, 'process.args[1] is not a string'],
  [{ process: { user: { uid: '0', gid: 0 } } }, 'process.user.uid is not a number'],
  [{ process: { user: { uid: 0, umask: 'x' } } }, 'process.user.umask is not a number'],
  [{ mounts: [{ type: 'proc' }] }, 'mounts[0].destination is missing'],
  [{ mounts: {} }, 'mounts is not a list'],
  [{ linux: { sysctl: { a: 1 } } }, 'linux.sysctl.a is not a string'],
  [{ linux: { seccomp: {} } }, 'linux.seccomp.defaultAction is missing'],
  [{ linux: [] }, 'linux is not an object'],
];

for (const [spec, message] of wrong)
  test(`a spec of the wrong shape is refused: ${message}`, () => {
    assert.throws(() => checkSpecShape(spec), { name: 'SpecRefusal', message });
  });

test('what is not known is let be, and null counts as absent', () => {
  const spec = { process: { user: { uid: 0, gid: 0 }, args: null, future: { x: 1 } }, hooks: null };
  checkSpecShape(spec);
  assert.deepEqual(spec, { process: { user: { uid: 0, gid: 0 }, future: { x: 1 } } });
  assert.throws(() => checkProcessShape({ env: 'A=1' }), { message: 'process.env is not a list' });
});

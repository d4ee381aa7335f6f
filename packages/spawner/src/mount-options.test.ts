import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMountOptions } from './mount-options.js';

test('mount words become attributes, the later winning', () => {
  const { set, clear } = parseMountOptions(['ro', 'nosuid', 'rw', 'noexec'], '/x');
  assert.equal(set, 0x2n | 0x8n);
  assert.equal(clear, 0x1n);
});

test('access time modes replace each other as one field', () => {
  assert.deepEqual(pick(['noatime']), [0x10n, 0x70n]);
  assert.deepEqual(pick(['noatime', 'strictatime']), [0x20n, 0x70n]);
  assert.deepEqual(pick(['noatime', 'relatime']), [0n, 0x70n]);
  function pick(options: string[]): bigint[] {
    const { set, clear } = parseMountOptions(options, '/x');
    return [set, clear];
  }
});

test("bind, recursion, propagation and id-mapping are told apart from the file system's own options", () => {
  const bind = parseMountOptions(['rbind', 'rslave', 'rro', 'idmap'], '/x');
  assert.deepEqual(
    [bind.bind, bind.recursive, bind.recursiveSet, bind.idmap, bind.propagation],
    [true, true, 1n, true, 1n << 19n],
  );
  const tmpfs = parseMountOptions(['nodev', 'size=64k', 'mode=1777', 'newinstance'], '/x');
  assert.deepEqual(tmpfs.parameters, [
    { key: 'size', value: '64k' },
    { key: 'mode', value: '1777' },
    { key: 'newinstance', value: undefined },
  ]);
});

test('an attribute for the top mount alone does not reach the mounts beneath', () => {
  const { set, recursiveSet } = parseMountOptions(['rbind', 'ro', 'rnosuid'], '/x');
  assert.deepEqual([set, recursiveSet], [0x1n | 0x2n, 0x2n]);
});

test('async takes back sync, and a bind mount has neither', () => {
  assert.deepEqual(parseMountOptions(['sync', 'async'], '/x').parameters, [
    { key: 'async', value: undefined },
  ]);
  assert.deepEqual(parseMountOptions(['bind', 'sync'], '/x').parameters, []);
});

test('tmpcopyup of a bind mount is refused', () => {
  assert.throws(
    () => parseMountOptions(['bind', 'tmpcopyup'], '/x'),
    /mount \/x has option tmpcopyup, which is for a tmpfs/,
  );
});

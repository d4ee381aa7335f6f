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
    [bind.bind, bind.recursive, bind.recursiveAttributes, bind.idmap, bind.propagation],
    [true, true, true, true, 1n << 19n],
  );
  const tmpfs = parseMountOptions(['nodev', 'size=64k', 'mode=1777', 'newinstance'], '/x');
  assert.deepEqual(tmpfs.parameters, [
    { key: 'size', value: '64k' },
    { key: 'mode', value: '1777' },
    { key: 'newinstance', value: undefined },
  ]);
});

test("an option that is not supported is refused with its name and the mount's", () => {
  assert.throws(
    () => parseMountOptions(['tmpcopyup'], '/x'),
    /mount \/x has option "tmpcopyup", which is not supported/,
  );
});

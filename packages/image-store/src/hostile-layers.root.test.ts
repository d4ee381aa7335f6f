import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { isGantryError } from '@gantry/protocol';
import { digestOf, type Digest } from './digest.js';
import type { LayerFixture } from './testing/layout-fixture.js';
import { StoreFixture } from './testing/store-fixture.js';
import { makeTar, type TarEntry } from './testing/tar-fixture.js';

const skip = process.getuid?.() === 0 ? false : 'needs root: layers are unpacked';

describe('hostile and damaged layers', { skip }, () => {
  let fixture: StoreFixture;

  beforeEach(async () => {
    fixture = new StoreFixture();
    await fixture.open();
  });
  afterEach(() => fixture.remove());

  const hostile: Record<string, { entries: readonly TarEntry[]; says: RegExp }> = {
    'an absolute name': { entries: [{ name: '/etc/evil', content: 'x' }], says: /absolute name \/etc\/evil/ },
    'a name that climbs': { entries: [{ name: 'a/../../evil', content: 'x' }], says: /climbs with \.\./ },
    'a hard link that climbs': {
      entries: [{ name: 'l', type: 'hardlink', link: '../../secret' }],
      says: /climbs with \.\./,
    },
    'a hard link to an absolute name': {
      entries: [{ name: 'l', type: 'hardlink', link: '/etc/passwd' }],
      says: /absolute hard link target/,
    },
    'a hard link through a link': {
      entries: [
        { name: 'd', type: 'symlink', link: '/etc' },
        { name: 'l', type: 'hardlink', link: 'd/passwd' },
      ],
      says: /link leads out of the tree/,
    },
    'a file written through an absolute link': {
      entries: [
        { name: 'd', type: 'symlink', link: '/tmp' },
        { name: 'd/evil', content: 'x' },
      ],
      says: /below d, which a link leads out of the tree/,
    },
    'a file written through a climbing link': {
      entries: [
        { name: 'd', type: 'symlink', link: '../../..' },
        { name: 'd/evil', content: 'x' },
      ],
      says: /link leads out of the tree/,
    },
    'a chain of links': {
      entries: [
        { name: 'a', type: 'symlink', link: '.' },
        { name: 'a/b', type: 'symlink', link: '..' },
        { name: 'b/evil', content: 'x' },
      ],
      says: /link leads out of the tree/,
    },
    'a whiteout that climbs': {
      entries: [{ name: 'd/.wh...', content: '' }],
      says: /names nothing of its own directory/,
    },
    'a whiteout through a link': {
      entries: [{ name: 'd', type: 'symlink', link: '/etc' }, { name: 'd/.wh.passwd' }],
      says: /link leads out of the tree/,
    },
    'a root that is a link': {
      entries: [{ name: './', type: 'symlink', link: '/etc' }],
      says: /replaces its own root/,
    },
    'a hard link to nothing': {
      entries: [{ name: 'l', type: 'hardlink', link: 'nothing' }],
      says: /which it does not hold/,
    },
    'a file below a file': {
      entries: [
        { name: 'f', content: 'x' },
        { name: 'f/g', content: 'y' },
      ],
      says: /which is not a directory/,
    },
    'a size that lies': {
      entries: [{ name: 'f', content: 'x', statedSize: 100_000 }],
      says: /ends too early/,
    },
  };
  for (const [title, { entries, says }] of Object.entries(hostile)) {
    test(`a layer with ${title} is refused in one sentence and leaves nothing`, async () => {
      await assert.rejects(fixture.unpackOne(entries), (error) => {
        assert.ok(
          isGantryError(error) && ['invalid_argument', 'data_loss'].includes(error.code),
          String(error),
        );
        assert.match(error.message, says);
        assert.match(error.message, /^layer sha256:[0-9a-f]{64} from /);
        return true;
      });
      assert.deepEqual(fixture.contents(), { blobs: [], layers: [], images: [], incoming: [], rootfs: [] });
      assert.ok(!existsSync('/tmp/evil') && !existsSync('/etc/evil'));
    });
  }

  const damaged: Record<string, { layer: () => LayerFixture; says: RegExp }> = {
    'a truncated gzip stream': {
      layer: () => ({ tar: makeTar([]), blob: gzipSync(Buffer.alloc(100_000, 'ab')).subarray(0, 60) }),
      says: /ends too early/,
    },
    'a truncated zstd stream': {
      layer: () => ({
        tar: makeTar([]),
        blob: zstdCompressSync(Buffer.alloc(100_000, 'ab')).subarray(0, 20),
      }),
      says: /ends too early/,
    },
    'a truncated tar': {
      layer: () => ({ tar: makeTar([{ name: 'f', content: 'x'.repeat(5000) }]).subarray(0, 3000) }),
      says: /ends too early/,
    },
    'a wrong gzip checksum': {
      layer: () => {
        const blob = gzipSync(makeTar([]));
        blob.writeUInt32LE(1, blob.length - 8);
        return { tar: makeTar([]), blob };
      },
      says: /checksum is wrong/,
    },
    'rubbish after gzip': {
      layer: () => ({
        tar: makeTar([]),
        blob: Buffer.concat([gzipSync(makeTar([])), Buffer.from('rubbish')]),
      }),
      says: /damaged/,
    },
    'no bytes at all beside a digest of some': {
      layer: () => ({ tar: makeTar([]), blob: Buffer.alloc(0) }),
      says: /unpacks to/,
    },
    'rubbish instead of a tar': { layer: () => ({ tar: Buffer.alloc(4096, 'x') }), says: /damaged/ },
    'xz compression': {
      layer: () => ({ tar: makeTar([]), blob: Buffer.from('fd377a585a000000', 'hex') }),
      says: /compressed with xz/,
    },
    'another diffID than its image says': {
      layer: () => ({ tar: makeTar([{ name: 'f' }]), diffId: digestOf('other') as Digest }),
      says: /unpacks to sha256:[0-9a-f]+, but its image says/,
    },
  };
  for (const [title, { layer, says }] of Object.entries(damaged)) {
    test(`a layer with ${title} is refused in one sentence and leaves nothing`, async () => {
      await assert.rejects(fixture.unpackOne(layer()), (error) => {
        assert.ok(isGantryError(error, 'data_loss'), String(error));
        assert.match(error.message, says);
        return true;
      });
      assert.deepEqual(fixture.contents(), { blobs: [], layers: [], images: [], incoming: [], rootfs: [] });
    });
  }
});

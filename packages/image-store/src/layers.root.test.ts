import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readFileSync, readlinkSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { StoreFixture } from './testing/store-fixture.js';
import { makeTar, type TarEntry } from './testing/tar-fixture.js';

const skip = process.getuid?.() === 0 ? false : 'needs root: owners, devices and capabilities are written';

describe('unpacked layers', { skip }, () => {
  let fixture: StoreFixture;

  beforeEach(async () => {
    fixture = new StoreFixture();
    await fixture.open();
  });
  afterEach(() => fixture.remove());

  function xattr(path: string, name: string): string | undefined {
    try {
      const program =
        'import os, sys; sys.stdout.buffer.write(os.getxattr(sys.argv[1], sys.argv[2], follow_symlinks=False))';
      return execFileSync('python3', ['-c', program, path, name], {
        encoding: 'latin1',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    } catch {
      return undefined;
    }
  }

  test('owners, modes, set-id bits, times and content are as the tar says', async () => {
    const root = await fixture.unpackOne([
      { name: './', type: 'dir', mode: 0o711, mtime: 1_111_111_111 },
      { name: 'bin/', type: 'dir', mode: 0o1777, uid: 7, gid: 8, mtime: 1_500_000_000 },
      { name: 'bin/su', content: 'x'.repeat(1000), mode: 0o6755, uid: 1000, gid: 50, mtime: 1_400_000_000 },
      { name: 'bin/link', type: 'symlink', link: '/etc/passwd', uid: 3, gid: 4, mtime: 1_300_000_000 },
    ]);
    assert.equal(statSync(root).mode & 0o7777, 0o711);
    assert.equal(statSync(root).mtimeMs, 1_111_111_111_000);
    const directory = statSync(join(root, 'bin'));
    assert.deepEqual(
      [directory.mode & 0o7777, directory.uid, directory.gid, directory.mtimeMs],
      [0o1777, 7, 8, 1_500_000_000_000],
    );
    const file = statSync(join(root, 'bin/su'));
    assert.deepEqual(
      [file.mode & 0o7777, file.uid, file.gid, file.mtimeMs],
      [0o6755, 1000, 50, 1_400_000_000_000],
    );
    assert.equal(readFileSync(join(root, 'bin/su'), 'utf8'), 'x'.repeat(1000));
    const link = lstatSync(join(root, 'bin/link'));
    assert.deepEqual(
      [link.uid, link.gid, link.mtimeMs, readlinkSync(join(root, 'bin/link'))],
      [3, 4, 1_300_000_000_000, '/etc/passwd'],
    );
  });

  test('hard links, fifos and devices are what they were', async () => {
    const root = await fixture.unpackOne([
      { name: 'a', content: 'shared' },
      { name: 'd/b', type: 'hardlink', link: './a' },
      { name: 'pipe', type: 'fifo', mode: 0o640, uid: 9 },
      { name: 'null', type: 'char', major: 1, minor: 3, mode: 0o666 },
    ]);
    assert.equal(statSync(join(root, 'a')).ino, statSync(join(root, 'd/b')).ino);
    assert.equal(statSync(join(root, 'a')).nlink, 2);
    const pipe = statSync(join(root, 'pipe'));
    assert.deepEqual([pipe.isFIFO(), pipe.mode & 0o777, pipe.uid], [true, 0o640, 9]);
    const device = statSync(join(root, 'null'));
    assert.deepEqual(
      [device.isCharacterDevice(), device.rdev, device.mode & 0o777],
      [true, (1 << 8) | 3, 0o666],
    );
  });

  test('names are bytes: long ones, decomposed accents and what is no UTF-8 come out as they went in', async () => {
    const long = `${'d'.repeat(200)}/${'f'.repeat(200)}`;
    const decomposed = 'cafe\u0301';
    const bad = Buffer.from([0x66, 0xff, 0xfe, 0x67]);
    const root = await fixture.unpackOne([
      { name: 'x', pax: { path: long }, content: 'long' },
      { name: 'x', pax: { path: decomposed }, content: 'accent' },
      { name: 'x', pax: { path: bad }, content: 'bytes' },
      { name: Buffer.concat([Buffer.from('raw'), bad]), content: 'raw bytes' },
      // What Go writes when nothing of the target is ASCII.
      { name: 'x', type: 'symlink', pax: { path: 'ziel', linkpath: `/${decomposed}` } },
      {
        name: 'x',
        type: 'symlink',
        link: 'y',
        pax: { path: 'far', linkpath: `/${decomposed}/${'l'.repeat(150)}` },
      },
    ]);
    assert.equal(readFileSync(join(root, long), 'utf8'), 'long');
    const names = readdirSync(root, { encoding: 'buffer' });
    for (const name of [Buffer.from(decomposed), bad, Buffer.concat([Buffer.from('raw'), bad])])
      assert.ok(
        names.some((found) => found.equals(name)),
        `${name.toString('latin1')} is missing`,
      );
    assert.equal(readlinkSync(join(root, 'ziel')), `/${decomposed}`);
    assert.equal(readlinkSync(join(root, 'far')), `/${decomposed}/${'l'.repeat(150)}`);
  });

  test('capabilities and user attributes stay, those of overlay and trusted ones are dropped', async () => {
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
    const root = await fixture.unpackOne([
      {
        name: 'ping',
        content: 'x',
        uid: 1000,
        pax: {
          'SCHILY.xattr.security.capability': capability,
          'SCHILY.xattr.user.note': 'kept',
          'SCHILY.xattr.user.overlay.opaque': 'y',
          'SCHILY.xattr.trusted.overlay.opaque': 'y',
          'SCHILY.xattr.trusted.other': 'y',
        },
      },
    ]);
    const path = join(root, 'ping');
    assert.equal(
      Buffer.from(xattr(path, 'security.capability') ?? '', 'latin1').toString('hex'),
      capability.toString('hex'),
    );
    assert.equal(xattr(path, 'user.note'), 'kept');
    for (const name of ['user.overlay.opaque', 'trusted.overlay.opaque', 'trusted.other'])
      assert.equal(xattr(path, name), undefined, name);
  });

  test('whiteouts become 0/0 devices, opaque directories carry user.overlay.opaque', async () => {
    const root = await fixture.unpackOne([
      { name: 'etc/.wh.passwd' },
      { name: 'var/', type: 'dir' },
      { name: 'var/.wh..wh..opq' },
      { name: 'var/new', content: 'n' },
      { name: '.wh..wh.plnk', content: '' },
      // Removed below and made again here: what was below must stay hidden.
      { name: '.wh.again' },
      { name: 'again/', type: 'dir' },
      // The same the other way round.
      { name: 'later/', type: 'dir' },
      { name: 'later/mine', content: 'm' },
      { name: '.wh.later' },
    ]);
    const whiteout = lstatSync(join(root, 'etc/passwd'));
    assert.deepEqual([whiteout.isCharacterDevice(), whiteout.rdev], [true, 0]);
    for (const name of ['var', 'again', 'later'])
      assert.equal(xattr(join(root, name), 'user.overlay.opaque'), 'y', name);
    assert.deepEqual(readdirSync(join(root, 'later')), ['mine']);
    assert.deepEqual(readdirSync(root).sort(), ['again', 'etc', 'later', 'var']);
    assert.equal(xattr(join(root, 'etc'), 'user.overlay.opaque'), undefined);
  });

  test('a later entry of the same name wins, whatever kind it is of', async () => {
    const root = await fixture.unpackOne([
      { name: 'a', content: 'first' },
      { name: 'a', content: '2' },
      { name: 'd/x', content: 'x' },
      { name: 'd', content: 'now a file' },
      { name: 'l', type: 'symlink', link: 'a' },
      { name: 'l/', type: 'dir' },
      { name: 'l/in', content: 'in' },
    ]);
    assert.equal(readFileSync(join(root, 'a'), 'utf8'), '2');
    assert.equal(readFileSync(join(root, 'd'), 'utf8'), 'now a file');
    assert.equal(readFileSync(join(root, 'l/in'), 'utf8'), 'in');
  });

  test('gzip in several members, zstd and plain tars give the same layer', async () => {
    const content = Buffer.alloc(3_000_000);
    for (let i = 0; i < content.length; i += 4) content.writeUInt32LE(Math.imul(i, 2_654_435_761) >>> 20, i);
    const tar = makeTar([
      { name: 'big', content },
      { name: 'small', content: 's' },
    ]);
    const cuts = [0, 1, 511, 512, 70_000, 262_144, 1_000_003, tar.length];
    const members = cuts.slice(1).map((to, index) => gzipSync(tar.subarray(cuts[index], to)));
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const blobs = {
      members: Buffer.concat(members),
      gzip: gzipSync(tar),
      zstd: zstdCompressSync(tar),
      frames: Buffer.concat([
        skippable,
        zstdCompressSync(tar.subarray(0, 1000)),
        skippable,
        zstdCompressSync(tar.subarray(1000)),
        skippable,
      ]),
      plain: tar,
    };
    for (const [name, blob] of Object.entries(blobs)) {
      const root = await fixture.unpackOne({ tar, blob });
      assert.ok(readFileSync(join(root, 'big')).equals(content), name);
      await fixture.store.prune(true);
    }
  });

  test('a sparse file keeps its holes', async () => {
    const source = join(fixture.work, 'sparse');
    mkdirSync(source, { recursive: true });
    execFileSync(
      'sh',
      [
        '-c',
        'truncate -s 10M f && printf end | dd of=f bs=1 seek=5000000 conv=notrunc status=none && tar --sparse -cf ../sparse.tar f',
      ],
      { cwd: source },
    );
    const tar = readFileSync(join(fixture.work, 'sparse.tar'));
    assert.ok(tar.length < 100_000);
    const root = await fixture.unpackOne({ tar });
    const info = statSync(join(root, 'f'));
    assert.equal(info.size, 10 * 1024 * 1024);
    assert.ok(info.blocks * 512 < 100_000, `${info.blocks} blocks`);
    assert.equal(readFileSync(join(root, 'f')).subarray(5_000_000, 5_000_003).toString(), 'end');
  });

  test('directories that a layer leaves out are what the layers below say, unless it hides those', async () => {
    const [, middle = '', top = ''] = await fixture.unpack(
      [
        { name: 'home/', type: 'dir', mode: 0o711, mtime: 1_200_000_000 },
        { name: 'home/me/', type: 'dir', mode: 0o700, uid: 1000, gid: 1001, mtime: 1_300_000_000 },
        { name: 'gone/', type: 'dir', mode: 0o700, uid: 5 },
      ],
      [{ name: 'home/me/new', content: 'n' }, { name: '.wh.gone' }, { name: 'none/x', content: 'x' }],
      [
        { name: 'home/me/newer', content: 'n' },
        { name: 'gone/back', content: 'b' },
      ],
    );
    const seen = (path: string): unknown[] => {
      const { mode, uid, gid, mtimeMs } = statSync(path);
      return [mode & 0o7777, uid, gid, mtimeMs];
    };
    for (const layer of [middle, top]) {
      assert.deepEqual(seen(join(layer, 'home')), [0o711, 0, 0, 1_200_000_000_000]);
      assert.deepEqual(seen(join(layer, 'home/me')), [0o700, 1000, 1001, 1_300_000_000_000]);
    }
    assert.deepEqual(seen(join(top, 'gone')).slice(0, 3), [0o755, 0, 0]);
    assert.deepEqual(seen(join(middle, 'none')).slice(0, 3), [0o755, 0, 0]);
  });

  test('an image of 127 layers is unpacked and handed out, top layer first', async () => {
    const roots = await fixture.unpack(
      ...Array.from({ length: 127 }, (_, i): TarEntry[] => [{ name: `f${i}`, content: 'x' }]),
    );
    const [image] = fixture.store.parts.catalog.all();
    const { lowerdirs } = await fixture.store.prepare('a'.repeat(64), image?.id ?? '');
    assert.deepEqual(
      lowerdirs.map(({ path }) => path),
      roots.toReversed(),
    );
  });

  test('a layer may be empty, and one that replaces everything hides all below', async () => {
    const roots = await fixture.unpack(
      [{ name: 'old', content: 'o' }],
      [],
      [{ name: '.wh..wh..opq' }, { name: 'new', content: 'n' }],
    );
    assert.equal(roots.length, 3);
    const [image] = fixture.store.parts.catalog.all();
    const prepared = await fixture.store.prepare('a'.repeat(64), image?.id ?? '');
    assert.deepEqual(
      prepared.lowerdirs.map(({ path }) => path),
      [roots[2]],
    );
  });
});

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { isGantryError } from '@gantry/protocol';
import { RealRegistry, skopeo, umoci } from './testing/real-registry.js';
import { StoreFixture } from './testing/store-fixture.js';
import { listMerged, listTree } from './testing/tree-listing.js';

const skip = process.getuid?.() === 0 ? false : 'needs root: layers are unpacked';
const child = fileURLToPath(new URL('./testing/pull-child.js', import.meta.url));

describe('images that other tools made', { skip }, () => {
  const fixture = new StoreFixture();
  const layout = join(fixture.work, 'made');
  let registry: RealRegistry;
  let expected: string[];

  before(async () => {
    mkdirSync(fixture.work, { recursive: true });
    makeImage();
    registry = await RealRegistry.start(join(fixture.root, 'registry'));
    registry.push(`oci:${layout}:t`, 'made:1');
    registry.push(`oci:${layout}:t`, 'made:docker', '--format', 'v2s2');
    registry.push(`oci:${layout}:t`, 'made:zstd', '--dest-compress-format', 'zstd', '--dest-compress');
    await fixture.open();
  });
  after(async () => {
    await registry.stop();
    fixture.remove();
  });

  /** Three layers by umoci: files of every kind, then changes, removals and a directory made anew. */
  function makeImage(): void {
    const bundle = join(fixture.work, 'bundle');
    const image = `${layout}:t`;
    umoci('init', '--layout', layout);
    umoci('new', '--image', image);
    umoci('unpack', '--image', image, bundle);
    const change = (script: string): void => {
      execFileSync('sh', ['-ec', script], { cwd: join(bundle, 'rootfs') });
      umoci('repack', '--refresh-bundle', '--image', image, bundle);
    };
    change(`
      mkdir -p etc usr/bin usr/lib var/cache/a/b home/me tmp gone/deep dev
      ln -s usr/bin bin
      cp /bin/sh /usr/bin/env usr/bin/
      python3 -c 'import os; os.setxattr("usr/bin/env", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))'
      chmod 4755 usr/bin/sh; chmod 1777 tmp; chown -R 1000:1000 home/me
      echo hello > etc/motd; echo x > etc/removed; ln etc/motd etc/hardlink
      ln -s /etc/motd etc/absolute; ln -s ../../../../../outside etc/climbing
      mkfifo var/pipe; mknod dev/null c 1 3; mknod dev/loop b 7 0
      touch -d '2001-02-03 04:05:06' etc/motd; echo y > var/cache/a/b/file; echo z > gone/deep/file
      for i in $(seq 300); do echo $i > usr/lib/file$i; done
      python3 -c 'open(b"etc/caf\\xc3\\xa9", "w"); open("etc/cafe\\u0301", "w"); open("usr/lib/" + "l" * 200, "w").write("long")'
      dd if=/dev/urandom of=usr/lib/blob bs=64k count=40 status=none`);
    change(`
      rm -r etc/removed gone usr/lib/file1; rm -rf var/cache; mkdir -p var/cache/new; echo n > var/cache/new/file
      echo changed > etc/motd; rm etc/absolute; mkdir etc/absolute; echo d > etc/absolute/file`);
    change(
      `mkdir gone; echo again > gone/again; chmod 700 home/me; rm usr/lib/file2; ln -s file3 usr/lib/file2`,
    );
    const judge = join(fixture.work, 'judge');
    umoci('unpack', '--image', image, judge);
    expected = listTree(join(judge, 'rootfs'));
    assert.ok(expected.length > 300);
  }

  async function assertSameTree(name: string): Promise<void> {
    const containerId = 'd'.repeat(64);
    const prepared = await fixture.store.prepare(containerId, name);
    const mountPoint = join(fixture.work, 'merged');
    mkdirSync(mountPoint, { recursive: true });
    const seen = listMerged(
      prepared.lowerdirs.map(({ path }) => path),
      mountPoint,
    );
    await fixture.store.rootfs.release(containerId);
    assert.deepEqual(
      seen.filter((line) => !expected.includes(line)),
      [],
    );
    assert.deepEqual(
      expected.filter((line) => !seen.includes(line)),
      [],
    );
  }

  for (const tag of ['1', 'docker', 'zstd'])
    test(`made:${tag} pulled from docker-registry is through overlay what umoci unpacks, entry by entry`, async () => {
      const image = await fixture.pull(`${registry.host}/made:${tag}`);
      assert.equal(image.chainIds.length, 3);
      await assertSameTree(`${registry.host}/made:${tag}`);
      await fixture.store.prune(true);
    });

  test('archives of docker and OCI, plain, gzip and zstd, give the same image', async () => {
    const pulled = await fixture.pull(`${registry.host}/made:1`);
    await fixture.store.prune(true);
    const archives = ['docker', 'oci'].flatMap((kind) => {
      const path = join(fixture.work, `${kind}.tar`);
      skopeo('copy', `oci:${layout}:t`, `${kind}-archive:${path}:example.org/made:${kind}`);
      const tar = readFileSync(path);
      writeFileSync(`${path}.gz`, gzipSync(tar, { level: 1 }));
      writeFileSync(`${path}.zst`, zstdCompressSync(tar));
      return [path, `${path}.gz`, `${path}.zst`].map((file) => ({ kind, file }));
    });
    for (const { kind, file } of archives) {
      const images = await fixture.load(file);
      assert.deepEqual(
        images.map(({ names }) => names.map(({ reference }) => reference)),
        [[`example.org/made:${kind}`]],
        file,
      );
      assert.deepEqual(images[0]?.chainIds, pulled.chainIds, file);
      await assertSameTree(`example.org/made:${kind}`);
      await fixture.store.prune(true);
      assert.deepEqual(fixture.contents(), { blobs: [], layers: [], images: [], incoming: [], rootfs: [] });
    }
  });

  test('a truncated archive is refused and leaves nothing', async () => {
    const path = join(fixture.work, 'cut.tar');
    const whole = readFileSync(join(fixture.work, 'oci.tar.gz'));
    writeFileSync(path, whole.subarray(0, whole.length >> 1));
    await assert.rejects(
      fixture.load(path),
      (error) =>
        isGantryError(error, 'data_loss') &&
        /archive .*cut\.tar is damaged: its gzip stream ends too early/.test(error.message),
    );
    assert.deepEqual(fixture.contents(), { blobs: [], layers: [], images: [], incoming: [], rootfs: [] });
  });

  test('an unknown image and a registry that asks for a password are told by name', async () => {
    await assert.rejects(
      fixture.pull(`${registry.host}/nobody:1`),
      (error) => isGantryError(error, 'not_found') && error.message.includes(`${registry.host}/nobody:1`),
    );
    const hash = execFileSync(
      'python3',
      [
        '-W',
        'ignore',
        '-c',
        'import crypt; print(crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))',
      ],
      { encoding: 'utf8' },
    ).trim();
    const locked = await RealRegistry.start(join(fixture.root, 'locked'), `someone:${hash}\n`);
    try {
      locked.push(`oci:${layout}:t`, 'made:1', '--dest-creds', 'someone:secret');
      const name = `${locked.host}/made:1`;
      await assert.rejects(
        fixture.pull(name),
        (error) =>
          isGantryError(error, 'permission_denied') && /needs a user name and password/.test(error.message),
      );
      const options = { signal: new AbortController().signal, onProgress: (): void => undefined };
      const pull = (password: string): Promise<unknown> =>
        fixture.store.pull(
          { reference: name, platform: '', policy: '', credentials: { username: 'someone', password } },
          options,
        );
      await assert.rejects(
        pull('wrong'),
        (error) =>
          isGantryError(error, 'permission_denied') &&
          /the user name or password is wrong/.test(error.message),
      );
      await pull('secret');
    } finally {
      await locked.stop();
      await fixture.store.prune(true);
    }
  });

  test('a pull that is killed at any moment leaves only whole layers, and the next one works', async () => {
    const stateDir = join(fixture.root, 'killed');
    for (let round = 0; round < 12; round++) {
      const running = spawn(process.execPath, [child, stateDir, `${registry.host}/made:1`], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      await once(running.stderr, 'data');
      await sleep(round * 6);
      const exit = once(running, 'exit');
      running.kill('SIGKILL');
      await exit;
      for (const name of existsSync(join(stateDir, 'layers')) ? readdirSync(join(stateDir, 'layers')) : [])
        if (name !== 'incoming') assert.ok(existsSync(join(stateDir, 'layers', name, 'layer.json')), name);
      for (const name of readdirSync(join(stateDir, 'blobs', 'sha256'))) {
        if (name.startsWith('.')) continue;
        const [digest] = execFileSync('sha256sum', [join(stateDir, 'blobs', 'sha256', name)], {
          encoding: 'utf8',
        }).split(' ');
        assert.equal(digest, name);
      }
    }
    const result = JSON.parse(
      execFileSync(process.execPath, [child, stateDir, `${registry.host}/made:1`], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ) as { failure?: unknown };
    assert.equal(result.failure, undefined);
    assert.deepEqual(readdirSync(join(stateDir, 'layers', 'incoming')), []);
    assert.equal(readdirSync(join(stateDir, 'layers')).length, 4);
  });

  test('a disk that fills up is told with its path, and the space comes back', () => {
    const stateDir = join(fixture.root, 'small');
    mkdirSync(stateDir);
    const script = `
      mount -t tmpfs -o size=2500k tmpfs ${stateDir}
      "$0" "$1" ${stateDir} ${registry.host}/made:1 2>/dev/null
      find ${stateDir} -type f | wc -l`;
    const [line = '', files] = execFileSync('unshare', ['-m', 'sh', '-ec', script, process.execPath, child], {
      encoding: 'utf8',
    })
      .trim()
      .split('\n');
    const { failure } = JSON.parse(line) as { failure?: { code: string; message: string } };
    assert.equal(failure?.code, 'resource_exhausted', line);
    assert.match(failure?.message ?? '', new RegExp(`^no space left in ${stateDir}`));
    assert.equal(files, '0');
  });
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { RunningService } from '@gantry/bus';
import { common, image, isGantryError } from '@gantry/protocol';
import { startImageStore } from './main.js';
import { BusFixture } from './testing/bus-fixture.js';
import { writeLayout } from './testing/layout-fixture.js';
import { StoreFixture } from './testing/store-fixture.js';
import { makeTar } from './testing/tar-fixture.js';

const skip = process.getuid?.() === 0 ? false : 'needs root: layers are unpacked';
const { methods } = image.ImageStore;
const containerId = 'c'.repeat(64);

describe('the image store on the bus', { skip }, () => {
  const files = new StoreFixture();
  let fixture: BusFixture;
  let service: RunningService;
  const config = { state_dir: files.stateDir, run_dir: join(files.root, 'run'), insecure_registries: [] };
  const reference = 'docker.io/library/made:1';

  before(async () => {
    fixture = await BusFixture.start();
    service = await startImageStore(fixture.environment, config);
  });
  after(async () => {
    await service.stop();
    await fixture.stop();
    files.remove();
  });

  async function load(
    path: string,
    removeSource = false,
  ): Promise<{ images: image.Image[]; statuses: string[] }> {
    const { dev, ino } = statSync(path);
    const stream = await fixture.bus.openStream(methods.LoadImage, {
      source: { path, device: dev, inode: ino },
      removeSource,
    });
    const images: image.Image[] = [];
    const statuses: string[] = [];
    for await (const { layer, image: loaded } of stream) {
      if (loaded !== undefined) images.push(loaded);
      if (layer !== undefined) statuses.push(layer.status);
    }
    return { images, statuses };
  }

  test('a layout is loaded with progress, an event is heard, the image can be found by name, id and prefix', async () => {
    const heard: common.NodeEvent[] = [];
    const stop = fixture.bus.subscribeEvents('image', common.NodeEventCodec, (event) => heard.push(event));
    const layout = join(files.work, 'layout');
    mkdirSync(layout, { recursive: true });
    const base = makeTar([
      { name: 'etc/', type: 'dir' },
      { name: 'etc/passwd', content: 'root:x:0:0\n' },
      { name: 'etc/hosts', content: 'h' },
      { name: 'old/', type: 'dir' },
      { name: 'old/a', content: 'a' },
    ]);
    const top = makeTar([
      { name: './', type: 'dir', mode: 0o711 },
      { name: 'old/.wh.a' },
      { name: 'bin/true', content: 'x', mode: 0o755 },
    ]);
    const made = writeLayout(layout, [{ tar: base, blob: gzipSync(base) }, { tar: top }], { name: 'made:1' });
    const { images, statuses } = await load(layout);
    assert.ok(statuses.includes('done'), statuses.join());
    assert.equal(images.length, 1);
    assert.equal(images[0]?.id, made.imageId);
    assert.deepEqual(images[0]?.references, [reference]);
    assert.deepEqual(images[0]?.digests, [`docker.io/library/made@${made.manifestDigest}`]);
    assert.equal(images[0]?.labels['made'], 'by hand');
    const names = [
      'made:1',
      reference,
      made.imageId,
      made.imageId.slice(7),
      made.imageId.slice(7, 14),
      `made@${made.manifestDigest}`,
    ];
    for (const name of names) {
      const { image: found } = await fixture.bus.call(methods.GetImage, { name });
      assert.equal(found?.id, made.imageId, name);
      assert.match(new TextDecoder().decode(found?.configJson), /"rootfs"/);
    }
    await sleep(50);
    stop();
    assert.deepEqual(
      heard.map(({ type, action, id }) => ({ type, action, id })),
      [{ type: 'image', action: 'load', id: made.imageId }],
    );
  });

  test('directories are prepared once for a container and mount as its root file system', async () => {
    const prepared = await fixture.bus.call(methods.PrepareRootfs, { containerId, image: 'made:1' });
    const again = await fixture.bus.call(methods.PrepareRootfs, { containerId, image: 'made:1' });
    assert.deepEqual(again, prepared);
    assert.equal(prepared.reference, reference);
    for (const handle of [...prepared.lowerdirs, prepared.writable]) {
      const info = statSync(handle?.path ?? '');
      assert.deepEqual([info.dev, info.ino], [handle?.device, handle?.inode]);
    }
    const writable = prepared.writable?.path ?? '';
    const upper = statSync(join(writable, 'upper'));
    assert.deepEqual([upper.mode & 0o7777, upper.uid, upper.gid], [0o711, 0, 0]);
    // In a mount namespace of its own, as a container would: nothing of it is seen here.
    const script = `
      set -e
      mount -t overlay overlay -o userxattr,lowerdir=${prepared.lowerdirs.map(({ path }) => path).join(':')},upperdir=${writable}/upper,workdir=${writable}/work ${files.work}
      cd ${files.work}
      test ! -e old/a
      cat etc/passwd
      echo new > etc/hosts
      rm etc/passwd
      mkdir -p home/me
      echo y > home/me/file`;
    assert.equal(execFileSync('unshare', ['-m', 'sh', '-c', script], { encoding: 'utf8' }), 'root:x:0:0\n');
  });

  test('what a container changed is told as added, changed and deleted', async () => {
    const described = await fixture.bus.call(methods.DescribeRootfs, { containerId });
    assert.deepEqual(
      described.changes.map(({ kind, path }) => `${kind} ${path}`),
      ['C /etc', 'C /etc/hosts', 'D /etc/passwd', 'A /home', 'A /home/me', 'A /home/me/file'],
    );
    assert.equal(described.changeCount, 6);
    assert.ok(described.writableBytes > 0);
    assert.deepEqual(
      described.layers.map(({ createdBy }) => createdBy),
      ['layer 0', 'layer 1'],
    );
    assert.deepEqual(
      described.layers.map(({ sharedByCount }) => sharedByCount),
      [2, 2],
    );
    const limited = await fixture.bus.call(methods.DescribeRootfs, { containerId, limit: 1 });
    assert.deepEqual([limited.changes.length, limited.changeCount], [1, 6]);
  });

  test('an image in use is not removed, whatever is forced, and the refusal names the container', async () => {
    for (const force of [false, true])
      await assert.rejects(fixture.bus.call(methods.RemoveImage, { name: 'made:1', force }), (error) => {
        assert.ok(isGantryError(error, 'failed_precondition'));
        assert.ok(error.message.includes(containerId), error.message);
        return true;
      });
    const pruned = await fixture.bus.call(methods.PruneImages, { all: true });
    assert.deepEqual(pruned, { deleted: [], reclaimedBytes: 0 });
    const usage = await fixture.bus.call(methods.GetDiskUsage, {});
    assert.deepEqual(
      [usage.imageCount, usage.activeImageCount, usage.writableCount, usage.reclaimableBytes],
      [1, 1, 1, 0],
    );
    assert.ok(usage.layerBytes > 0 && usage.blobBytes > 0 && usage.writableBytes > 0);
  });

  test('a restarted service knows images and containers, and sweeps what was half-made', async () => {
    const rubbish = [
      join(files.stateDir, 'layers', 'incoming', 'half'),
      join(files.stateDir, 'rootfs', '.half'),
      join(files.stateDir, 'layers', 'f'.repeat(64)),
    ];
    for (const path of rubbish) mkdirSync(join(path, 'diff', 'deep'), { recursive: true });
    writeFileSync(join(files.stateDir, 'blobs', 'incoming', 'part'), 'x');
    writeFileSync(join(files.stateDir, 'blobs', 'sha256', 'a'.repeat(64)), 'held by nobody');
    await service.stop();
    service = await startImageStore(fixture.environment, config);
    const contents = files.contents();
    assert.deepEqual(contents.incoming, []);
    assert.deepEqual(contents.rootfs, [containerId]);
    assert.equal(contents.layers.length, 2);
    assert.equal(contents.blobs.length, 4);
    assert.deepEqual((await fixture.bus.call(methods.ListRootfs, {})).containerIds, [containerId]);
    assert.equal((await fixture.bus.call(methods.ListImages, {})).images[0]?.containerCount, 1);
  });

  test('a tag moves a name; the image that lost its last one stays until it is pruned', async () => {
    const layout = join(files.work, 'other');
    mkdirSync(layout, { recursive: true });
    const other = writeLayout(layout, [{ tar: makeTar([{ name: 'other', content: 'o' }]) }], {
      name: 'other:1',
    });
    await load(layout);
    await fixture.bus.call(methods.TagImage, { name: 'other:1', reference: 'made:1' });
    const { image: named } = await fixture.bus.call(methods.GetImage, { name: 'made:1' });
    assert.equal(named?.id, other.imageId);
    assert.deepEqual(named?.references.toSorted(), ['docker.io/library/made:1', 'docker.io/library/other:1']);
    // The container still has the image that it was made from.
    assert.notEqual(
      (await fixture.bus.call(methods.PrepareRootfs, { containerId, image: reference })).imageId,
      other.imageId,
    );
    const removed = await fixture.bus.call(methods.RemoveImage, { name: 'made:1' });
    assert.deepEqual(removed, { untagged: [reference], deleted: [] });
    const { images } = await fixture.bus.call(methods.ListImages, { pageSize: 1 });
    assert.equal(images.length, 1);
  });

  test('a released container leaves nothing, and its image can go', async () => {
    leaveDeepTree();
    await fixture.bus.call(methods.ReleaseRootfs, { containerId });
    await fixture.bus.call(methods.ReleaseRootfs, { containerId });
    assert.deepEqual((await fixture.bus.call(methods.ListRootfs, {})).containerIds, []);
    const pruned = await fixture.bus.call(methods.PruneImages, { all: false });
    assert.ok(pruned.reclaimedBytes > 0);
    const removed = await fixture.bus.call(methods.RemoveImage, { name: 'other:1' });
    assert.deepEqual(removed.untagged, ['docker.io/library/other:1']);
    assert.deepEqual(files.contents(), { blobs: [], layers: [], images: [], incoming: [], rootfs: [] });
  });

  function leaveDeepTree(): void {
    // A container may leave anything, also trees deeper than any path can name.
    const deep = `import os\nos.chdir(${JSON.stringify(join(files.stateDir, 'rootfs', containerId, 'writable', 'upper'))})\nfor i in range(3000):\n  os.mkdir("d" * 50); os.chdir("d" * 50)`;
    execFileSync('python3', ['-c', deep]);
  }

  test('bad input is refused in one sentence', async () => {
    const missing = join(files.work, 'nothing.tar');
    const rubbish = join(files.work, 'rubbish.tar');
    writeFileSync(rubbish, Buffer.alloc(10_000, 'rubbish'));
    const escaping = join(files.work, 'escaping.tar');
    writeFileSync(escaping, makeTar([{ name: '../index.json', content: '{}' }]));
    const empty = join(files.work, 'empty.tar');
    writeFileSync(empty, makeTar([{ name: 'readme', content: 'nothing here' }]));
    const cases: [() => Promise<unknown>, string, RegExp][] = [
      [
        () => fixture.bus.call(methods.GetImage, { name: 'nobody/has:it' }),
        'not_found',
        /image nobody\/has:it is not on this node/,
      ],
      [() => fixture.bus.call(methods.GetImage, { name: 'NOT a name' }), 'not_found', /NOT a name/],
      [
        () => fixture.bus.call(methods.PrepareRootfs, { containerId: '../../etc', image: 'x' }),
        'invalid_argument',
        /not a container id/,
      ],
      [
        () => fixture.bus.call(methods.PrepareRootfs, { containerId, image: 'nothing' }),
        'not_found',
        /image nothing is not on this node/,
      ],
      [
        () => fixture.bus.call(methods.DescribeRootfs, { containerId }),
        'not_found',
        /has no root file system here/,
      ],
      [
        () => drain(fixture.bus.openStream(methods.LoadImage, { source: { path: missing } })),
        'not_found',
        /there is no file .*nothing\.tar/,
      ],
      [
        () => drain(fixture.bus.openStream(methods.LoadImage, { source: { path: rubbish } })),
        'data_loss',
        /archive .*rubbish\.tar is damaged/,
      ],
      [
        () => drain(fixture.bus.openStream(methods.LoadImage, { source: { path: escaping } })),
        'invalid_argument',
        /climbs with \.\./,
      ],
      [
        () => drain(fixture.bus.openStream(methods.LoadImage, { source: { path: empty } })),
        'invalid_argument',
        /is no image archive/,
      ],
      [
        () =>
          drain(fixture.bus.openStream(methods.LoadImage, { source: { path: empty, device: 1, inode: 1 } })),
        'failed_precondition',
        /not the file any more/,
      ],
      [
        () => drain(fixture.bus.openStream(methods.PullImage, { reference: 'library/UPPER' })),
        'invalid_argument',
        /is not an image's name/,
      ],
      [
        () => drain(fixture.bus.openStream(methods.PullImage, { reference: 'x', policy: 'often' })),
        'invalid_argument',
        /not a pull policy/,
      ],
      [
        () => drain(fixture.bus.openStream(methods.PullImage, { reference: 'x', policy: 'never' })),
        'not_found',
        /the pull policy is never/,
      ],
      [
        () => drain(fixture.bus.openStream(methods.PullImage, { reference: '127.0.0.1:1/x' })),
        'unavailable',
        /registry 127\.0\.0\.1:1 cannot be reached: connection refused/,
      ],
      [
        () => drain(fixture.bus.openStream(methods.PullImage, { reference: 'x', platform: 'a/b/c/d' })),
        'invalid_argument',
        /not a platform/,
      ],
    ];
    for (const [call, code, says] of cases)
      await assert.rejects(call, (error) => {
        assert.ok(isGantryError(error), String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, says);
        return true;
      });
    assert.deepEqual(files.contents(), { blobs: [], layers: [], images: [], incoming: [], rootfs: [] });
    for (const path of [rubbish, escaping, empty]) rmSync(path);
  });

  test('the figures are there and promtool finds nothing to say', async () => {
    const text = await (await fetch(`${service.metricsUrl}/metrics`)).text();
    assert.match(text, /gantry_image_store_images 0/);
    assert.match(text, /gantry_image_store_fetch_duration_seconds_count\{operation="load",result="ok"\}/);
    const own = text
      .split(/(?=# HELP )/)
      .filter((part) => part.startsWith('# HELP gantry_image_store'))
      .join('');
    assert.equal(execFileSync('promtool', ['check', 'metrics'], { input: own, encoding: 'utf8' }), '');
  });
});

async function drain(stream: Promise<AsyncIterable<unknown>>): Promise<void> {
  for await (const _ of await stream);
}

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { isGantryError, type ErrorCode } from '@gantry/protocol';
import { hexOf, type Digest } from './digest.js';
import type { LayerProgressReport } from './layer-store.js';
import { writeLayout, type LayoutFixture } from './testing/layout-fixture.js';
import { StoreFixture } from './testing/store-fixture.js';
import { makeTar } from './testing/tar-fixture.js';
import { TinyRegistry } from './testing/tiny-registry.js';

const skip = process.getuid?.() === 0 ? false : 'needs root: layers are unpacked';

describe('pulling from a registry that misbehaves', { skip }, () => {
  let fixture: StoreFixture;
  let registry: TinyRegistry;
  let made: LayoutFixture;
  let layout: string;

  beforeEach(async () => {
    fixture = new StoreFixture();
    await fixture.open();
    layout = join(fixture.work, 'layout');
    mkdirSync(layout, { recursive: true });
    const base = makeTar([{ name: 'base', content: randomBytes(400_000) }]);
    const top = makeTar([{ name: 'top', content: 't' }]);
    made = writeLayout(layout, [{ tar: base, blob: gzipSync(base) }, { tar: top }], { name: 'x' });
    registry = await TinyRegistry.start({ 'some/image': layout });
  });
  afterEach(async () => {
    await registry.stop();
    fixture.remove();
  });

  const name = (): string => `${registry.host}/some/image:1`;
  const blobPath = (digest: Digest | undefined): string => `/blobs/${digest ?? ''}`;

  function assertNothingLeft(): void {
    assert.deepEqual(fixture.contents(), { blobs: [], layers: [], images: [], incoming: [], rootfs: [] });
  }

  async function assertRefused(pull: Promise<unknown>, code: ErrorCode, says: RegExp): Promise<void> {
    await assert.rejects(pull, (error) => {
      assert.ok(isGantryError(error), String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, says);
      return true;
    });
  }

  test('an image is pulled with its layers, and pulled again without fetching any', async () => {
    const first: LayerProgressReport[] = [];
    const image = await fixture.pull(name(), { onProgress: (report) => first.push(report) });
    assert.equal(image.id, made.imageId);
    assert.deepEqual(
      new Set(first.filter(({ status }) => status === 'done').map(({ digest }) => digest)),
      new Set(made.layerDigests),
    );
    const asked = registry.requests.length;
    const second: LayerProgressReport[] = [];
    await fixture.pull(name(), { onProgress: (report) => second.push(report) });
    assert.deepEqual(
      second.map(({ status }) => status),
      ['exists', 'exists'],
    );
    assert.equal(registry.requests.length, asked + 1);
    await fixture.pull(name(), { policy: 'missing' });
    assert.equal(registry.requests.length, asked + 1);
  });

  test('twenty pulls of one image at the same time fetch every blob once', async () => {
    const images = await Promise.all(
      Array.from({ length: 20 }, (_, i) => fixture.pull(`${registry.host}/some/image:${i}`)),
    );
    assert.equal(new Set(images.map(({ id }) => id)).size, 1);
    for (const digest of made.layerDigests) assert.equal(registry.countOf(blobPath(digest)), 1);
    assert.equal(fixture.store.parts.catalog.get(made.imageId)?.names.length, 20);
  });

  test('a registry that is busy is asked again when it says, one that stays broken is unavailable by name', async () => {
    let failures = 0;
    registry.disturb = (_request, response) => {
      if (failures >= 2) return false;
      failures += 1;
      response.writeHead(failures === 1 ? 429 : 503, { 'retry-after': '0' }).end();
      return true;
    };
    await fixture.pull(name());
    assert.equal(failures, 2);
    registry.disturb = (_request, response) => {
      response.writeHead(500, { 'retry-after': '0' }).end();
      return true;
    };
    await assertRefused(
      fixture.pull(name()),
      'unavailable',
      new RegExp(`^registry ${registry.host} fails with HTTP 500$`),
    );
  });

  test('a connection that breaks is taken up where it broke', async () => {
    let cuts = 0;
    registry.disturb = (request, response, path) => {
      if (!path.endsWith(blobPath(made.layerDigests[0])) || cuts >= 2) return false;
      cuts += 1;
      const content = readFileSync(join(layout, 'blobs', 'sha256', hexOf(made.layerDigests[0] as Digest)));
      const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(from === 0 ? 200 : 206, { 'content-length': content.length - from });
      response.write(content.subarray(from, from + 100_000), () => setTimeout(() => response.destroy(), 30));
      return true;
    };
    const image = await fixture.pull(name());
    assert.equal(cuts, 2);
    assert.equal(image.chainIds.length, 2);
  });

  test('a redirect to another host is followed without the credentials', async () => {
    const storage = await TinyRegistry.start({ 'some/image': layout });
    const seen: (string | undefined)[] = [];
    storage.disturb = (request) => {
      seen.push(request.headers.authorization);
      return false;
    };
    registry.disturb = (request, response, path) => {
      if (request.headers.authorization === undefined)
        response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      else if (path.includes('/blobs/'))
        response.writeHead(307, { location: `http://${storage.host}${path}` }).end();
      else return false;
      return true;
    };
    const credentials = { username: 'u', password: 'p' };
    const options = { signal: new AbortController().signal, onProgress: (): void => undefined };
    await fixture.store.pull({ reference: name(), platform: '', policy: '', credentials }, options);
    assert.deepEqual(seen, [undefined, undefined, undefined]);
    await storage.stop();
  });

  test('a token is asked for once, with the user and the scope, and used for everything', async () => {
    const tokens: string[] = [];
    registry.disturb = (request, response, path) => {
      if (path.startsWith('/token')) {
        tokens.push(`${path} ${request.headers.authorization ?? ''}`);
        response.end('{"token":"secret"}');
        return true;
      }
      if (request.headers.authorization === 'Bearer secret') return false;
      const challenge = `Bearer realm="http://${registry.host}/token",service="reg",scope="repository:some/image:pull"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
      return true;
    };
    const options = { signal: new AbortController().signal, onProgress: (): void => undefined };
    await fixture.store.pull(
      { reference: name(), platform: '', policy: '', credentials: { username: 'me', password: 'pw' } },
      options,
    );
    assert.deepEqual(tokens, [
      `/token?service=reg&scope=repository%3Asome%2Fimage%3Apull Basic ${Buffer.from('me:pw').toString('base64')}`,
    ]);
  });

  test('access that is denied is told apart from an image that is not there', async () => {
    await assertRefused(
      fixture.pull(`${registry.host}/other/image:1`),
      'not_found',
      /^image .*\/other\/image:1 is not in registry/,
    );
    registry.disturb = (_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      return true;
    };
    await assertRefused(fixture.pull(name()), 'permission_denied', /needs a user name and password/);
  });

  /** Puts other bytes in place of a blob. */
  function tamper(digest: Digest | undefined, change: (content: Buffer) => Buffer): void {
    const path = join(layout, 'blobs', 'sha256', hexOf(digest as Digest));
    writeFileSync(path, change(readFileSync(path)));
  }
  const flipped = (content: Buffer): Buffer => {
    content[content.length >> 1] = (content[content.length >> 1] ?? 0) ^ 1;
    return content;
  };

  test('a blob that does not match its digest is refused by name and leaves nothing', async () => {
    tamper(made.layerDigests[0], flipped);
    await assertRefused(
      fixture.pull(name()),
      'data_loss',
      new RegExp(`blob ${made.layerDigests[0]} from registry ${registry.host} is not what it claims to be`),
    );
    assertNothingLeft();
  });

  test('a blob that still unpacks but does not match its digest is refused as well', async () => {
    tamper(made.layerDigests[1], (content) => (content.fill('u', 512, 513), content));
    await assertRefused(fixture.pull(name()), 'data_loss', /is not what it claims to be: it hashes to/);
    assertNothingLeft();
  });

  test('a blob that is too short or too long is refused and leaves nothing', async () => {
    tamper(made.layerDigests[0], (content) => content.subarray(0, 1000));
    await assertRefused(fixture.pull(name()), 'data_loss', /ends after 1000 of \d+ bytes/);
    assertNothingLeft();
    tamper(made.layerDigests[0], (content) => Buffer.alloc(content.length + 10_000_000));
    await assertRefused(fixture.pull(name()), 'data_loss', /more than the \d+ bytes announced/);
    assertNothingLeft();
  });

  test('a configuration or a manifest that does not match is refused and leaves nothing', async () => {
    tamper(made.imageId, flipped);
    await assertRefused(
      fixture.pull(name()),
      'data_loss',
      new RegExp(`blob ${made.imageId} .*is not what it claims to be`),
    );
    tamper(made.manifestDigest, (content) => Buffer.concat([content, Buffer.from(' ')]));
    await assertRefused(
      fixture.pull(`${registry.host}/some/image@${made.manifestDigest}`),
      'data_loss',
      /^manifest sha256:.* is not what it claims to be/,
    );
    assertNothingLeft();
  });

  test('a pull that is cancelled stops at once, keeps what is whole and leaves nothing half-made', async () => {
    const cancel = new AbortController();
    registry.disturb = (_request, response, path) => {
      if (!path.endsWith(blobPath(made.layerDigests[0]))) return false;
      response.writeHead(200, { 'content-length': 1_000_000 });
      response.write(
        readFileSync(join(layout, 'blobs', 'sha256', hexOf(made.layerDigests[0] as Digest))).subarray(
          0,
          50_000,
        ),
      );
      return true;
    };
    const reports: LayerProgressReport[] = [];
    const pull = fixture.pull(name(), {
      signal: cancel.signal,
      onProgress: (report) => reports.push(report),
    });
    while (!reports.some(({ status }) => status === 'done')) await sleep(5);
    const started = performance.now();
    cancel.abort(new Error('enough'));
    await assert.rejects(pull, { message: 'enough' });
    assert.ok(performance.now() - started < 200);
    while (fixture.contents().incoming.length > 0 && performance.now() - started < 2_000) await sleep(5);
    const { incoming, images, layers } = fixture.contents();
    assert.deepEqual([incoming, images, layers.length], [[], [], 1]);
    registry.disturb = () => false;
    const again: LayerProgressReport[] = [];
    await fixture.pull(name(), { onProgress: (report) => again.push(report) });
    assert.equal(again.filter(({ status }) => status === 'exists').length, 1);
  });

  test('pulls and removals at the same time end in an image that is whole, or in none', async () => {
    for (let round = 0; round < 15; round++) {
      const pulls = Array.from({ length: 4 }, (_, i) => fixture.pull(`${registry.host}/some/image:${i % 2}`));
      const removals = Array.from({ length: 4 }, async (_, i) => {
        await sleep(i * 3);
        await fixture.store.prune(true);
      });
      const results = await Promise.allSettled([...pulls, ...removals]);
      for (const result of results)
        assert.equal(result.status, 'fulfilled', result.status === 'rejected' ? String(result.reason) : '');
      for (const image of fixture.store.parts.catalog.all())
        for (const chainId of image.chainIds)
          assert.ok(readdirSync(fixture.store.parts.layers.diffPath(chainId)).length > 0);
    }
    await fixture.store.prune(true);
    assertNothingLeft();
  });

  test('an image for another platform is refused by name, an index gives the one that suits', async () => {
    await assertRefused(
      fixture.pull(name(), { platform: 'linux/s390x' }),
      'not_found',
      /is not there for linux\/s390x: there is linux\/amd64/,
    );
    const digestsOf = (path: string): { digest: string; size: number } =>
      (
        JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')) as {
          manifests: { digest: string; size: number }[];
        }
      ).manifests[0] as never;
    const amd = digestsOf(layout);
    const armLayers = writeLayout(layout, [{ tar: makeTar([{ name: 'arm', content: 'a' }]) }], {
      platform: { os: 'linux', architecture: 'arm64' },
    });
    const arm = digestsOf(layout);
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const index = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [
          { mediaType, ...arm, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
          { mediaType, ...amd, platform: { os: 'linux', architecture: 'amd64' } },
          {
            mediaType,
            digest: `sha256:${'0'.repeat(64)}`,
            size: 1,
            platform: { os: 'unknown', architecture: 'unknown' },
          },
        ],
      }),
    );
    registry.disturb = (_request, response, path) => {
      if (!path.endsWith('/manifests/multi')) return false;
      response
        .writeHead(200, {
          'content-type': 'application/vnd.oci.image.index.v1+json',
          'content-length': index.length,
        })
        .end(index);
      return true;
    };
    const multi = `${registry.host}/some/image:multi`;
    assert.equal((await fixture.pull(multi, { platform: 'linux/amd64' })).id, made.imageId);
    assert.equal((await fixture.pull(multi, { platform: 'arm64' })).id, armLayers.imageId);
    await assertRefused(
      fixture.pull(multi, { platform: 'riscv64' }),
      'not_found',
      /there is linux\/arm64\/v8, linux\/amd64$/,
    );
  });
});

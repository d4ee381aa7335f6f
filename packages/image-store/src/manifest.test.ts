import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MEDIA_TYPES } from '@gantry/oci';
import { isGantryError } from '@gantry/protocol';
import fc from 'fast-check';
import { chainIdsOf, digestOf, type Digest } from './digest.js';
import { parseConfig, parseManifest } from './manifest.js';
import { choosePlatform, formatPlatform, parsePlatform } from './platform.js';

const digest = digestOf('x');
const config = { mediaType: MEDIA_TYPES.ociConfig, digest, size: 2 };
const layer = { mediaType: MEDIA_TYPES.ociLayerGzip, digest, size: 2 };
const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [layer] };
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const refusal = (pattern: RegExp) => (error: unknown) =>
  isGantryError(error, 'invalid_argument') && pattern.test(error.message);

describe('manifests', () => {
  test('a manifest gives its configuration and layers, with or without its media type inside', () => {
    for (const document of [manifest, { ...manifest, mediaType: undefined }]) {
      const parsed = parseManifest(bytesOf(document), MEDIA_TYPES.ociManifest, 'm');
      assert.ok(parsed.kind === 'manifest');
      assert.equal(parsed.manifest.config.digest, digest);
      assert.deepEqual(
        parsed.manifest.layers.map(({ size }) => size),
        [2],
      );
    }
  });

  const wrong: Record<string, [unknown, RegExp]> = {
    'schema 1': [{ schemaVersion: 1 }, /schema 1/],
    'an unknown media type': [
      { ...manifest, mediaType: 'application/x-sausage' },
      /"application\/x-sausage", which is not an image's/,
    ],
    'an artifact': [
      {
        ...manifest,
        config: { ...config, mediaType: 'application/vnd.oci.empty.v1+json' },
        artifactType: 'application/x-chart',
      },
      /artifact of type "application\/x-chart"/,
    ],
    'an encrypted layer': [
      {
        ...manifest,
        layers: [{ ...layer, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted' }],
      },
      /media type ".*encrypted", which is not supported/,
    ],
    'a digest that is none': [
      { ...manifest, config: { ...config, digest: 'sha256:../../etc' } },
      /not a sha256 digest/,
    ],
    'a size that is none': [{ ...manifest, layers: [{ ...layer, size: -1 }] }, /without a size/],
    'a huge configuration': [
      { ...manifest, config: { ...config, size: 1e9 } },
      /configuration of 1000000000 bytes/,
    ],
    'no layers': [{ ...manifest, layers: undefined }, /has no layers/],
    'a list': [[], /not a JSON object/],
  };
  for (const [title, [document, says]] of Object.entries(wrong))
    test(`${title} is refused in one sentence`, () => {
      assert.throws(() => parseManifest(bytesOf(document), '', 'm'), refusal(says));
    });

  test('whatever a registry sends, it is parsed or refused, never anything else', () => {
    const mutated = fc
      .tuple(fc.constantFrom(...Object.keys(manifest), 'manifests', 'platform'), fc.jsonValue())
      .map(([key, value]) => ({ ...manifest, [key]: value }));
    fc.assert(
      fc.property(
        fc.oneof(fc.jsonValue(), mutated),
        fc.constantFrom('', MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerManifest),
        (document, mediaType) => {
          try {
            parseManifest(bytesOf(document), mediaType, 'm');
            parseConfig(bytesOf(document), 0, 'c');
          } catch (error) {
            assert.ok(isGantryError(error, 'invalid_argument'), String(error));
          }
        },
      ),
      { seed: 7, numRuns: 2_000 },
    );
  });
});

describe('configurations', () => {
  test('a configuration gives layers, labels, time and the commands that made the layers', () => {
    const parsed = parseConfig(
      bytesOf({
        os: 'linux',
        architecture: 'arm64',
        variant: 'v8',
        created: '2024-01-01T00:00:00Z',
        config: { Labels: { a: 'b' } },
        rootfs: { type: 'layers', diff_ids: [digest, digest] },
        history: [{ created_by: 'one' }, { created_by: 'env', empty_layer: true }, { created_by: 'two' }],
      }),
      2,
      'c',
    );
    assert.deepEqual(
      [parsed.createdBy, parsed.labels, parsed.createdUnixMs, formatPlatform(parsed.platform)],
      [['one', 'two'], { a: 'b' }, 1_704_067_200_000, 'linux/arm64/v8'],
    );
  });

  test('one that names other layers than its manifest is refused', () => {
    assert.throws(
      () => parseConfig(bytesOf({ rootfs: { diff_ids: [digest] } }), 2, 'c'),
      refusal(/names 1 layers where its manifest has 2/),
    );
  });

  test('chain ids are those of the specification', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((text) => digestOf(text)) as [Digest, Digest, Digest];
    const second = digestOf(`${a} ${b}`);
    assert.deepEqual(chainIdsOf([a, b, c]), [a, second, digestOf(`${second} ${c}`)]);
  });
});

describe('platforms', () => {
  const entry = (os: string, architecture: string, variant?: string) => ({
    ...config,
    platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
  });

  test('they are read with the names that people and kernels use', () => {
    for (const [given, meant] of [
      ['linux/amd64', 'linux/amd64'],
      ['x86_64', 'linux/amd64'],
      ['linux/aarch64', 'linux/arm64'],
      ['linux/arm/v6', 'linux/arm/v6'],
      ['armhf', 'linux/arm/v7'],
    ] as const)
      assert.equal(formatPlatform(parsePlatform(given)), meant);
    assert.throws(() => parsePlatform('linux/amd64/v2/x'), refusal(/is not a platform/));
  });

  test('of an index, the best variant that still runs is chosen', () => {
    const index = [
      entry('linux', 'arm', 'v5'),
      entry('linux', 'arm', 'v6'),
      entry('linux', 'arm', 'v7'),
      entry('linux', 'amd64', 'v3'),
      entry('linux', 'amd64'),
      entry('windows', 'amd64'),
    ];
    const chosen = (text: string): string =>
      formatPlatform(
        choosePlatform(index, parsePlatform(text))?.platform ?? { os: 'none', architecture: '' },
      );
    assert.equal(chosen('linux/arm/v7'), 'linux/arm/v7');
    assert.equal(chosen('linux/arm/v6'), 'linux/arm/v6');
    assert.equal(chosen('linux/amd64'), 'linux/amd64');
    assert.equal(chosen('linux/amd64/v2'), 'linux/amd64');
    assert.equal(choosePlatform(index, parsePlatform('riscv64')), undefined);
  });
});

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MEDIA_TYPES } from '@gantry/oci';
import { digestOf, hexOf, type Digest } from '../digest.js';

export interface LayerFixture {
  readonly tar: Buffer;
  /** What is stored; the tar itself when absent. */
  readonly blob?: Buffer;
  readonly mediaType?: string;
  /** What the configuration says, when it lies. */
  readonly diffId?: Digest;
}

export interface LayoutFixture {
  readonly imageId: Digest;
  readonly manifestDigest: Digest;
  readonly layerDigests: readonly Digest[];
}

/** Writes an OCI layout with one image. */
export function writeLayout(
  directory: string,
  layers: readonly LayerFixture[],
  options: {
    readonly name?: string;
    readonly config?: object;
    readonly platform?: { os: string; architecture: string };
  } = {},
): LayoutFixture {
  const blobs = join(directory, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (content: Buffer): Digest => {
    const digest = digestOf(content);
    writeFileSync(join(blobs, hexOf(digest)), content);
    return digest;
  };
  const putJson = (value: object): { digest: Digest; size: number } => {
    const content = Buffer.from(JSON.stringify(value));
    return { digest: put(content), size: content.length };
  };
  const descriptors = layers.map(({ tar, blob = tar, mediaType = MEDIA_TYPES.ociLayerTar }) => ({
    mediaType,
    digest: put(blob),
    size: blob.length,
  }));
  const config = putJson({
    architecture: 'amd64',
    os: 'linux',
    ...options.platform,
    config: { Cmd: ['/bin/true'], Labels: { made: 'by hand' }, ...options.config },
    rootfs: { type: 'layers', diff_ids: layers.map(({ tar, diffId }) => diffId ?? digestOf(tar)) },
    history: layers.map((_, index) => ({ created_by: `layer ${index}` })),
  });
  const manifest = putJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, ...config },
    layers: descriptors,
  });
  const annotations =
    options.name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': options.name } };
  writeFileSync(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  writeFileSync(
    join(directory, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [{ mediaType: MEDIA_TYPES.ociManifest, ...manifest, ...annotations }],
    }),
  );
  return {
    imageId: config.digest,
    manifestDigest: manifest.digest,
    layerDigests: descriptors.map(({ digest }) => digest),
  };
}

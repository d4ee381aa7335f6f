import { open } from 'node:fs/promises';
import { GantryError } from '@gantry/protocol';
import { MEDIA_TYPES } from '@gantry/oci';
import { digestOf, type Digest } from './digest.js';
import type { LayoutSource } from './layout-source.js';
import type { LoadableImage } from './loadable-image.js';
import { maxConfigBytes, parseConfig, type CheckedDescriptor } from './manifest.js';
import { extract } from './native.js';
import { formatReference, readReference } from './reference.js';

interface ArchiveEntry {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

/** Reads the images of a docker archive (`docker save`), which names its files in manifest.json. */
export async function readDockerArchive(
  source: LayoutSource,
  manifestBytes: Uint8Array,
): Promise<LoadableImage[]> {
  const images: LoadableImage[] = [];
  for (const entry of parseEntries(source.name, manifestBytes)) {
    const configBytes = await source.readSmall(entry.config, maxConfigBytes);
    const id = digestOf(configBytes);
    const stated = /([0-9a-f]{64})(?:\.json)?$/.exec(entry.config)?.[1];
    if (stated !== undefined && id !== `sha256:${stated}`)
      throw new GantryError({
        code: 'data_loss',
        operation: 'LoadImage',
        object: source.name,
        message: `configuration ${entry.config} of ${source.name} is not what it claims to be: it hashes to ${id}`,
      });
    const config = parseConfig(
      configBytes,
      entry.layers.length,
      `configuration ${entry.config} of ${source.name}`,
    );
    const layers: CheckedDescriptor[] = [];
    for (const [index, file] of entry.layers.entries()) {
      const descriptor = await describeLayer(source, file, config.diffIds[index] as Digest);
      source.place(descriptor.digest, file);
      layers.push(descriptor);
    }
    images.push({
      manifest: {
        config: { mediaType: MEDIA_TYPES.dockerConfig, digest: id, size: configBytes.length },
        layers,
      },
      config,
      documents: [{ digest: id, bytes: configBytes }],
      names: entry.tags.flatMap((tag) => {
        const reference = readReference(tag);
        return 'reason' in reference ? [] : [{ reference: formatReference(reference) }];
      }),
    });
  }
  return images;
}

function parseEntries(name: string, bytes: Uint8Array): ArchiveEntry[] {
  const refuse = (reason: string): GantryError =>
    new GantryError({
      code: 'invalid_argument',
      operation: 'LoadImage',
      object: name,
      message: `manifest.json of ${name} ${reason}`,
    });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw refuse('is not JSON');
  }
  if (!Array.isArray(value) || value.length === 0) throw refuse('names no image');
  return value.map((entry: { Config?: unknown; RepoTags?: unknown; Layers?: unknown } | null) => {
    const strings = (list: unknown): list is string[] =>
      Array.isArray(list) && list.every((item) => typeof item === 'string');
    if (typeof entry?.Config !== 'string' || !strings(entry.Layers))
      throw refuse('names an image without configuration or layers');
    return {
      config: entry.Config,
      tags: strings(entry.RepoTags) ? entry.RepoTags : [],
      layers: entry.Layers,
    };
  });
}

/** Plain tars are their own diffID; what is compressed must be hashed to be named. */
async function describeLayer(source: LayoutSource, name: string, diffId: Digest): Promise<CheckedDescriptor> {
  const file = await open(await source.resolve(name), 'r');
  try {
    const { size } = await file.stat();
    const head = Buffer.alloc(4);
    await file.read(head, 0, head.length, 0);
    const compressed = head.readUInt16BE(0) === 0x1f8b || head.readUInt32BE(0) === 0x28b52ffd;
    if (!compressed)
      return { mediaType: 'application/vnd.docker.image.rootfs.diff.tar', digest: diffId, size };
    const { blobDigest } = await extract({
      blobFd: file.fd,
      growing: false,
      rootFd: undefined,
      tree: 'archive',
    }).result;
    return { mediaType: MEDIA_TYPES.dockerLayerGzip, digest: blobDigest as Digest, size };
  } finally {
    await file.close();
  }
}

import { GantryError } from '@gantry/protocol';
import type { Platform } from '@gantry/oci';
import { assembleImage, type AssemblyOptions, type StoreParts } from './assemble.js';
import type { Digest } from './digest.js';
import type { ImageName, ImageRecord } from './image-catalog.js';
import { parseConfig, parseManifest, type CheckedManifest } from './manifest.js';
import { choosePlatform, formatPlatform, matchesPlatform } from './platform.js';
import { formatReference, type Reference } from './reference.js';
import type { Credentials } from './registry-auth.js';
import { RegistryClient } from './registry-client.js';

export interface PullOptions extends AssemblyOptions {
  readonly reference: Reference;
  readonly platform: Platform;
  /** The platform was asked for, not assumed: an image for another one is refused. */
  readonly strictPlatform: boolean;
  readonly credentials: Credentials | undefined;
  readonly insecureRegistries: readonly string[];
}

interface Resolved {
  readonly manifest: CheckedManifest;
  /** What the name stands for: the index when there is one. */
  readonly digest: Digest;
  readonly documents: readonly Digest[];
}

/** Fetches an image from its registry. Everything is verified before it can be seen. */
export async function pullImage(parts: StoreParts, options: PullOptions): Promise<ImageRecord> {
  const client = new RegistryClient(options.reference, options);
  const held: Digest[] = [];
  const keep = async (digest: Digest, bytes: Uint8Array): Promise<void> => {
    held.push(digest);
    parts.blobs.holds.hold([digest]);
    await parts.blobs.put(digest, bytes);
  };
  const shown = formatReference(options.reference);
  try {
    const { manifest, digest, documents } = await resolve(client, options, keep);
    const { config: descriptor } = manifest;
    const known = parts.blobs.has(descriptor.digest);
    const bytes = known
      ? await parts.blobs.read(descriptor.digest)
      : await client.getBlob(descriptor, options.signal);
    const config = parseConfig(bytes, manifest.layers.length, `the configuration of ${shown}`);
    if (options.strictPlatform && !matchesPlatform(config.platform, options.platform))
      throw noSuchPlatform(shown, options.platform, [formatPlatform(config.platform)]);
    await keep(descriptor.digest, bytes);
    const name: Omit<ImageName, 'since'> = { reference: shown, manifestDigest: digest };
    return await assembleImage(
      parts,
      { manifest, config, source: client, documents: [...documents, descriptor.digest], names: [name] },
      options,
    );
  } finally {
    client.close();
    parts.blobs.holds.release(held);
  }
}

async function resolve(
  client: RegistryClient,
  options: PullOptions,
  keep: (digest: Digest, bytes: Uint8Array) => Promise<void>,
): Promise<Resolved> {
  const shown = formatReference(options.reference);
  const top = await client.getManifest(undefined, options.signal);
  const document = parseManifest(top.bytes, top.mediaType, `the manifest of ${shown}`);
  await keep(top.digest, top.bytes);
  if (document.kind === 'manifest')
    return { manifest: document.manifest, digest: top.digest, documents: [top.digest] };
  const chosen = choosePlatform(document.manifests, options.platform);
  if (chosen === undefined) {
    const offered = document.manifests.flatMap(({ platform }) =>
      platform === undefined || platform.os === 'unknown' ? [] : [formatPlatform(platform)],
    );
    throw noSuchPlatform(shown, options.platform, offered);
  }
  const inner = await client.getManifest(chosen.digest as Digest, options.signal);
  const manifest = parseManifest(inner.bytes, inner.mediaType, `manifest ${chosen.digest} of ${shown}`);
  if (manifest.kind === 'index')
    throw new GantryError({
      code: 'invalid_argument',
      operation: 'PullImage',
      object: shown,
      message: `the index of ${shown} holds another index, which is not supported`,
    });
  await keep(inner.digest, inner.bytes);
  return { manifest: manifest.manifest, digest: top.digest, documents: [top.digest, inner.digest] };
}

export function noSuchPlatform(image: string, wanted: Platform, offered: readonly string[]): GantryError {
  const list = offered.length === 0 ? 'nothing that says what it is for' : [...new Set(offered)].join(', ');
  return new GantryError({
    code: 'not_found',
    operation: 'PullImage',
    object: image,
    message: `image ${image} is not there for ${formatPlatform(wanted)}: there is ${list}`,
  });
}

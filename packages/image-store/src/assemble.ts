import type { BlobIntake, BlobSource } from './blob-intake.js';
import type { BlobStore } from './blob-store.js';
import type { ImageCatalog, ImageName, ImageRecord } from './image-catalog.js';
import { chainIdsOf, type Digest } from './digest.js';
import type { LayerProgressReport, LayerStore, LayerWanted } from './layer-store.js';
import { parseConfig, type CheckedConfig, type CheckedManifest } from './manifest.js';
import { formatPlatform } from './platform.js';

/** The parts that images are put together from. */
export interface StoreParts {
  readonly blobs: BlobStore;
  readonly intake: BlobIntake;
  readonly layers: LayerStore;
  readonly catalog: ImageCatalog;
}

export interface AssemblyPlan {
  readonly manifest: CheckedManifest;
  readonly config: CheckedConfig;
  readonly source: BlobSource;
  /** Manifest, index and configuration: held by the caller, already in the blob store. */
  readonly documents: readonly Digest[];
  readonly names: readonly Omit<ImageName, 'since'>[];
}

export interface AssemblyOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (report: LayerProgressReport) => void;
}

/**
 * Brings an image's layers in, all at the same time, and records the image when they are whole. Everything that it touches
 * is held until the record holds it, so that no removal can come between.
 */
export async function assembleImage(
  parts: StoreParts,
  plan: AssemblyPlan,
  options: AssemblyOptions,
): Promise<ImageRecord> {
  const { manifest, config, source } = plan;
  const chainIds = chainIdsOf(config.diffIds);
  const layerBlobs = manifest.layers.map(({ digest }) => digest);
  parts.layers.holds.hold(chainIds);
  parts.blobs.holds.hold(layerBlobs);
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  try {
    const fresh = chainIds.some((chainId) => parts.layers.get(chainId) === undefined);
    const stack: LayerWanted[] = [];
    for (const [index, descriptor] of manifest.layers.entries())
      stack.push({
        descriptor,
        chainId: chainIds[index] as Digest,
        diffId: config.diffIds[index] as Digest,
        below: stack.at(-1),
      });
    const work = stack.map(async (wanted) => {
      try {
        await parts.layers.ensure(wanted, source, { signal, onProgress: options.onProgress });
      } catch (error) {
        // The first failure is the reason; the others only follow from it.
        if (!failed.signal.aborted) failed.abort(error);
        throw error;
      }
    });
    const results = await Promise.allSettled(work);
    if (failed.signal.aborted) throw options.signal.aborted ? options.signal.reason : failed.signal.reason;
    results.forEach((result) => {
      if (result.status === 'rejected') throw result.reason;
    });
    if (fresh) await parts.layers.sync();
    options.signal.throwIfAborted();
    return await recordImage(parts, plan, chainIds, layerBlobs);
  } finally {
    parts.layers.holds.release(chainIds);
    parts.blobs.holds.release(layerBlobs);
  }
}

async function recordImage(
  { blobs, layers, catalog }: StoreParts,
  { manifest, config, documents, names }: AssemblyPlan,
  chainIds: readonly Digest[],
  layerBlobs: readonly Digest[],
): Promise<ImageRecord> {
  const since = Date.now();
  const kept = [...new Set([...documents, ...layerBlobs])].filter((digest) => blobs.has(digest));
  const before = catalog.get(manifest.config.digest);
  const record: ImageRecord = Object.freeze({
    id: manifest.config.digest,
    platform: formatPlatform(config.platform),
    createdUnixMs: config.createdUnixMs,
    labels: config.labels,
    diffIds: config.diffIds,
    chainIds,
    blobs: kept,
    names: names.map((name) => ({ ...name, since })),
  });
  if (before === undefined) layers.holds.hold(chainIds);
  const added = kept.filter((digest) => before?.blobs.includes(digest) !== true);
  blobs.holds.hold(added);
  try {
    return await catalog.add(record);
  } catch (error) {
    if (before === undefined) layers.holds.release(chainIds);
    blobs.holds.release(added);
    throw error;
  }
}

/** Reads the configuration that is in the blob store. */
export async function readConfig(
  blobs: BlobStore,
  id: Digest,
  layerCount: number,
): Promise<{ bytes: Buffer; config: CheckedConfig }> {
  const bytes = await blobs.read(id);
  return { bytes, config: parseConfig(bytes, layerCount, `image ${id}`) };
}

import { GantryError, type Init, type image } from '@gantry/protocol';
import type { ImageStore } from './image-store.js';

const defaultChangeLimit = 100;
const maxChangeLimit = 1_000;
/** All listed paths together, so that the answer fits into one message, bytes. */
const maxPathBytes = 300 * 1024;

/** Layers and changed files of one container, for people. */
export async function describeRootfs(
  store: ImageStore,
  containerId: string,
  limit: number,
): Promise<Init<image.DescribeRootfsResponse>> {
  const record = store.rootfs.get(containerId);
  if (record === undefined)
    throw new GantryError({
      code: 'not_found',
      operation: 'DescribeRootfs',
      object: containerId,
      message: `container ${containerId} has no root file system here`,
    });
  const { layers, catalog } = store.parts;
  const summary = await store.rootfs.summarize(
    record,
    Math.min(limit === 0 ? defaultChangeLimit : limit, maxChangeLimit),
  );
  const found = catalog.get(record.imageId);
  const config = found === undefined ? undefined : (await store.configOf(found)).config;
  let pathBytes = 0;
  const changes = summary.changes.filter(({ path }) => (pathBytes += path.length * 3) <= maxPathBytes);
  return {
    imageId: record.imageId,
    layers: record.chainIds.map((chainId, index) => {
      const layer = layers.get(chainId);
      return {
        diffId: layer?.diffId ?? '',
        chainId,
        path: layers.diffPath(chainId),
        sizeBytes: layer?.bytes ?? 0,
        sharedByCount: layers.holds.count(chainId),
        createdBy: (config?.createdBy[index] ?? '').slice(0, 2_000),
      };
    }),
    changes: changes.map(({ path, kind }) => ({ path, kind })),
    changeCount: summary.changeCount,
    writableBytes: summary.bytes,
  };
}

/** What the store takes on disk. */
export async function measureUsage(store: ImageStore): Promise<Init<image.GetDiskUsageResponse>> {
  const { layers, blobs, catalog } = store.parts;
  const images = catalog.all();
  const active = images.filter(({ id }) => store.rootfs.countOf(id) > 0);
  const needed = new Set(
    active.flatMap(({ chainIds, blobs: documents }) => [
      ...chainIds.map((id) => `layer ${id}`),
      ...documents.map((id) => `blob ${id}`),
    ]),
  );
  for (const { chainIds } of store.rootfs.all())
    for (const chainId of chainIds) needed.add(`layer ${chainId}`);
  let reclaimableBytes = 0;
  for (const { chainId, bytes } of layers.all())
    if (!needed.has(`layer ${chainId}`)) reclaimableBytes += bytes;
  for (const digest of blobs.digests())
    if (!needed.has(`blob ${digest}`)) reclaimableBytes += blobs.sizeOf(digest);
  let writableBytes = 0;
  for (const record of store.rootfs.all()) {
    // One that is released meanwhile takes nothing any more.
    writableBytes += await store.rootfs.writableBytes(record).catch((error: unknown) => {
      if (store.rootfs.get(record.containerId) === undefined) return 0;
      throw error;
    });
  }
  return {
    imageCount: images.length,
    activeImageCount: active.length,
    layerBytes: layers.all().reduce((sum, { bytes }) => sum + bytes, 0),
    blobBytes: blobs.totalBytes,
    writableBytes,
    reclaimableBytes,
    writableCount: store.rootfs.all().length,
  };
}

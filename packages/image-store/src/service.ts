import type { Handlers, ServiceKit } from '@gantry/bus';
import { GantryError, common, isGantryError, type Init, type image } from '@gantry/protocol';
import { describeRootfs, measureUsage } from './inspection.js';
import type { ImageRecord } from './image-catalog.js';
import type { ImageStore } from './image-store.js';
import type { LayerProgressReport } from './layer-store.js';
import type { ImageStoreMetrics } from './metrics.js';
import { ProgressFeed } from './progress-feed.js';
import { repositoryName, readReference } from './reference.js';

type ImageStoreHandlers = Handlers<typeof image.ImageStore>;

const containerIdPattern = /^[0-9a-f]{64}$/;
const maxPageSize = 500;
/** Leaves room below the bus' limit for what a message adds. */
const maxPageBytes = 300 * 1024;

/** The handlers of the image store: requests are checked here, everything else happens in the domain files. */
export function createHandlers(
  store: ImageStore,
  metrics: ImageStoreMetrics,
  kit: ServiceKit,
): ImageStoreHandlers {
  const announce = (action: string, id: string, name: string): void =>
    kit.bus.publishEvent('image', common.NodeEventCodec, {
      timeUnixNanos: Date.now() * 1e6,
      type: 'image',
      action,
      id,
      attributes: [{ key: 'name', value: name }],
    });

  return {
    async *PullImage(request, context) {
      const { username, password, ...wanted } = request;
      const credentials = username === '' && password === '' ? undefined : { username, password };
      const work = (feed: ProgressFeed<ImageRecord>): Promise<void> =>
        store
          .pull({ ...wanted, credentials }, { signal: context.signal, onProgress: feed.onProgress })
          .then(feed.onItem);
      yield* fetchImages(store, metrics, 'pull', work, (record) =>
        announce('pull', record.id, nameOf(record)),
      );
    },
    async *LoadImage({ source, removeSource }, context) {
      if (source === undefined || source.path === '')
        throw invalid('LoadImage', '', 'the source of a load is missing');
      const work = (feed: ProgressFeed<ImageRecord>): Promise<void> =>
        store.load(
          { source, removeSource },
          { signal: context.signal, onProgress: feed.onProgress, onImage: feed.onItem },
        );
      yield* fetchImages(store, metrics, 'load', work, (record) =>
        announce('load', record.id, nameOf(record)),
      );
    },
    ListImages: ({ pageSize, pageToken }) => {
      const [images, nextPageToken] = pageOf(
        store.parts.catalog
          .all()
          .map((record) => ({ ...toMessage(store, record), configJson: new Uint8Array() })),
        ({ id }) => id,
        pageSize,
        pageToken,
      );
      return Promise.resolve({ images, nextPageToken });
    },
    GetImage: async ({ name }) => {
      const { image } = store.parts.catalog.find(name, 'GetImage');
      return { image: await toWholeMessage(store, image) };
    },
    TagImage: async ({ name, reference }) => {
      const image = await store.tag(name, reference);
      announce('tag', image.id, reference);
      return {};
    },
    RemoveImage: async ({ name, force }) => {
      const { untagged, deleted, bytes } = await store.remove(name, force);
      metrics.reclaimedBytes.inc(bytes);
      for (const reference of untagged) announce('untag', reference, reference);
      const [id] = deleted;
      if (id !== undefined) announce('delete', id, name);
      return { untagged: [...untagged], deleted: [...deleted] };
    },
    PrepareRootfs: async ({ containerId, image }, context) => {
      checkContainerId('PrepareRootfs', containerId);
      const prepared = await store.prepare(containerId, image);
      context.logger.debug({ container: containerId, image: prepared.record.imageId }, 'rootfs prepared');
      return {
        imageId: prepared.record.imageId,
        lowerdirs: [...prepared.lowerdirs],
        writable: prepared.writable,
        configJson: prepared.configJson,
        reference: prepared.record.reference,
      };
    },
    ReleaseRootfs: async ({ containerId }) => {
      checkContainerId('ReleaseRootfs', containerId);
      await store.rootfs.release(containerId);
      return {};
    },
    ListRootfs: ({ pageSize, pageToken }) => {
      const [containerIds, nextPageToken] = pageOf(
        store.rootfs.all().map(({ containerId }) => containerId),
        (id) => id,
        pageSize,
        pageToken,
      );
      return Promise.resolve({ containerIds, nextPageToken });
    },
    DescribeRootfs: async ({ containerId, limit }) => {
      checkContainerId('DescribeRootfs', containerId);
      return describeRootfs(store, containerId, limit);
    },
    GetDiskUsage: () => measureUsage(store),
    PruneImages: async ({ all }) => {
      const { untagged, deleted, bytes } = await store.prune(all);
      metrics.reclaimedBytes.inc(bytes);
      for (const reference of untagged) announce('untag', reference, reference);
      if (deleted.length > 0) announce('prune', '', '');
      return { deleted: [...untagged, ...deleted], reclaimedBytes: bytes };
    },
  };
}

async function* fetchImages(
  store: ImageStore,
  metrics: ImageStoreMetrics,
  operation: 'pull' | 'load',
  start: (feed: ProgressFeed<ImageRecord>) => Promise<void>,
  announce: (record: ImageRecord) => void,
): AsyncGenerator<Init<image.PullImageResponse>> {
  const feed = new ProgressFeed<ImageRecord>();
  const stop = metrics.fetchSeconds.startTimer({ operation });
  let result = 'ok';
  try {
    for await (const news of feed.follow(start(feed))) {
      if ('item' in news) {
        announce(news.item);
        yield { image: await toWholeMessage(store, news.item) };
      } else {
        countLayer(metrics, news.layer);
        yield { layer: news.layer };
      }
    }
  } catch (error) {
    result = isGantryError(error) ? error.code : 'internal';
    throw error;
  } finally {
    stop({ result });
  }
}

function countLayer(metrics: ImageStoreMetrics, { status }: LayerProgressReport): void {
  if (status === 'done') metrics.layers.inc({ source: 'unpacked' });
  if (status === 'exists') metrics.layers.inc({ source: 'shared' });
}

function toMessage(store: ImageStore, record: ImageRecord): Init<image.Image> & { id: string } {
  const digests = record.names.flatMap(({ reference, manifestDigest }) => {
    const parsed = readReference(reference);
    return manifestDigest === undefined || 'reason' in parsed
      ? []
      : [`${repositoryName(parsed)}@${manifestDigest}`];
  });
  return {
    id: record.id,
    references: record.names.map(({ reference }) => reference),
    digests: [...new Set(digests)],
    platform: record.platform,
    createdUnixMs: record.createdUnixMs,
    sizeBytes: store.sizeOf(record),
    labels: { ...record.labels },
    diffIds: [...record.diffIds],
    containerCount: store.rootfs.countOf(record.id),
  };
}

async function toWholeMessage(store: ImageStore, record: ImageRecord): Promise<Init<image.Image>> {
  return { ...toMessage(store, record), configJson: await store.parts.blobs.read(record.id) };
}

function nameOf({ names, id }: ImageRecord): string {
  return names.at(-1)?.reference ?? id;
}

/** A page of a sorted list: the token is the last key of the page before. */
function pageOf<T>(
  all: readonly T[],
  keyOf: (item: T) => string,
  pageSize: number,
  pageToken: string,
): [T[], string] {
  const limit = pageSize === 0 ? maxPageSize : Math.min(pageSize, maxPageSize);
  const page: T[] = [];
  let bytes = 0;
  for (const item of all) {
    if (pageToken !== '' && keyOf(item) <= pageToken) continue;
    bytes += JSON.stringify(item).length;
    const full = page.length >= limit || (page.length > 0 && bytes > maxPageBytes);
    if (full) return [page, keyOf(page.at(-1) as T)];
    page.push(item);
  }
  return [page, ''];
}

function checkContainerId(operation: string, containerId: string): void {
  if (!containerIdPattern.test(containerId))
    throw invalid(
      operation,
      containerId,
      `${JSON.stringify(containerId.slice(0, 100))} is not a container id: 64 hexadecimal digits`,
    );
}

function invalid(operation: string, object: string, message: string): GantryError {
  return new GantryError({ code: 'invalid_argument', operation, object, message });
}

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ImageStore } from './image-store.js';

export interface ImageStoreMetrics {
  /** One observation for each pull and load. */
  readonly fetchSeconds: Histogram<'operation' | 'result'>;
  /** Layers by how they came to be here. */
  readonly layers: Counter<'source'>;
  readonly reclaimedBytes: Counter;
}

/** The store's own figures; the harness counts and times every request beside them. */
export function createImageStoreMetrics(registry: Registry, store: ImageStore): ImageStoreMetrics {
  const registers = [registry];
  const { parts, rootfs } = store;
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge('gantry_image_store_images', 'Images on this node.', () => parts.catalog.all().length);
  gauge(
    'gantry_image_store_unpacked_layers',
    'Unpacked layers on this node.',
    () => parts.layers.all().length,
  );
  gauge('gantry_image_store_layer_bytes', 'Content of all unpacked layers.', () =>
    parts.layers.all().reduce((sum, { bytes }) => sum + bytes, 0),
  );
  gauge(
    'gantry_image_store_blob_bytes',
    'Size of all blobs as they were fetched.',
    () => parts.blobs.totalBytes,
  );
  gauge('gantry_image_store_rootfs', 'Containers that hold directories.', () => rootfs.all().length);
  return {
    fetchSeconds: new Histogram({
      name: 'gantry_image_store_fetch_duration_seconds',
      help: 'Time that pulls and loads took.',
      labelNames: ['operation', 'result'],
      buckets: [0.05, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300],
      registers,
    }),
    layers: new Counter({
      name: 'gantry_image_store_layers_total',
      help: 'Layers that pulls and loads needed, by whether they were unpacked or here already.',
      labelNames: ['source'],
      registers,
    }),
    reclaimedBytes: new Counter({
      name: 'gantry_image_store_reclaimed_bytes_total',
      help: 'Bytes freed by removing images.',
      registers,
    }),
  };
}

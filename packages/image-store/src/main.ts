import { startService, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import { image } from '@gantry/protocol';
import type { ImageStoreConfig } from './config.js';
import { ImageStore } from './image-store.js';
import { createImageStoreMetrics } from './metrics.js';
import { createHandlers } from './service.js';

/** Starts the image store of this node. It mounts nothing, so that containers live on whatever happens to it. */
export function startImageStore(
  environment: ServiceEnvironment,
  config: ImageStoreConfig,
): Promise<RunningService> {
  return startService({
    name: image.ImageStore.name,
    environment,
    descriptor: image.ImageStore,
    start: async (kit) => {
      const store = await ImageStore.open(config);
      const metrics = createImageStoreMetrics(kit.registry, store);
      return { handlers: createHandlers(store, metrics, kit), stop: () => store.settle() };
    },
  });
}

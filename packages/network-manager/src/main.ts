import { startService, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import { network } from '@gantry/protocol';
import { parseSettings, type NetworkManagerConfig } from './config.js';
import { openKernel } from './kernel.js';
import { createNetworkMetrics } from './metrics.js';
import { NodeNetwork } from './node-network.js';
import { createHandlers } from './service.js';

/**
 * Runs the network manager. Stopping it leaves every container's network, and the pool, as they are: the next start
 * takes them over.
 */
export async function startNetworkManager(
  environment: ServiceEnvironment,
  config: NetworkManagerConfig,
): Promise<RunningService> {
  const settings = parseSettings(config);
  const kernel = openKernel();
  return await startService({
    name: 'network-manager',
    descriptor: network.NetworkManager,
    environment,
    start: async ({ registry, logger }) => {
      const metrics = createNetworkMetrics(registry);
      const node = await NodeNetwork.start(settings, kernel, {
        ...metrics,
        warn: (fields, message) => logger.warn(fields, message),
        info: (fields, message) => logger.info(fields, message),
      });
      metrics.expose({
        sandboxes: () => node.sandboxes.sandboxCount,
        poolReady: () => node.pool.ready,
        poolTarget: () => node.pool.target,
        doomed: () => node.factory.doomed,
        publishedPorts: () => node.ports.size,
        addresses: () => node.factory.addresses.size,
        addressesTaken: () => node.factory.addresses.taken,
        idRanges: () => node.factory.idRanges.size,
        idRangesTaken: () => node.factory.idRanges.taken,
      });
      return { handlers: createHandlers(node), stop: () => node.stop() };
    },
  });
}

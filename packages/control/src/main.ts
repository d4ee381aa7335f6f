import { hostname } from 'node:os';
import { connectCluster, startService, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import { GantryError } from '@gantry/protocol';
import { connect, nkeyAuthenticator, type NatsConnection } from 'nats';
import type { ControlConfig } from './config.js';
import { ControlNode } from './control-node.js';
import { noFigures } from './figures.js';
import { connectedNodes } from './host-evidence.js';
import { createControlMetrics } from './metrics.js';

/**
 * Starts control on a node whose membership says so. Its own bus connection carries health and metrics only: its work is in
 * the account CLUSTER, and in SYS, where it asks which servers are connected.
 */
export function startControl(
  environment: ServiceEnvironment,
  config: ControlConfig,
): Promise<RunningService> {
  return startService({
    name: 'control',
    environment,
    start: async ({ nodeId, version, logger, registry, busMetrics, signal }) => {
      const { natsUrl, clusterKeySeed, sysKeySeed } = environment;
      if (clusterKeySeed === undefined || sysKeySeed === undefined)
        throw new GantryError({
          code: 'internal',
          operation: 'start',
          object: 'control',
          message: 'control was given no keys of the cluster',
        });
      const bus = await connectCluster('control', {
        nodeId,
        natsUrl,
        nkeySeed: clusterKeySeed,
        metrics: busMetrics,
      });
      const sys = await connectSys(natsUrl, sysKeySeed);
      // Scrapes come later than this; the node needs its metrics first.
      const shown: { node?: ControlNode } = {};
      const metrics = createControlMetrics(registry, () => shown.node?.figures() ?? noFigures);
      const node = new ControlNode({
        nodeId,
        version,
        hostname: hostname(),
        config,
        bus,
        busMetrics,
        metrics,
        connectedNodes: (controlNodes) => connectedNodes(sys, controlNodes),
        logger,
        signal,
      });
      shown.node = node;
      const running = node.run();
      return {
        handlers: {},
        unhealthy: () => node.unhealthy,
        stop: async () => {
          await running;
          await bus.close();
          await sys.close();
        },
      };
    },
  });
}

function connectSys(servers: string, seed: string): Promise<NatsConnection> {
  return connect({
    servers,
    name: 'gantry-control-sys',
    authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
    inboxPrefix: '_INBOX_sys',
    maxReconnectAttempts: -1,
    waitOnFirstConnect: true,
    reconnectTimeWait: 50,
    reconnectJitter: 50,
    pingInterval: 5_000,
    maxPingOut: 2,
    ignoreAuthErrorAbort: true,
  });
}

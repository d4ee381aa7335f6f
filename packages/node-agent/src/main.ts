import { alsoServed, startService, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import { cgroup, common, control, node, spawn } from '@gantry/protocol';
import { Agent } from './agent.js';
import { registerClusterMetrics } from './cluster/cluster-metrics.js';
import { Cluster } from './cluster/cluster.js';
import { createMembership } from './cluster/membership-service.js';
import { createRelay } from './cluster/relay.js';
import type { NodeAgentConfig } from './config.js';
import type { AgentContext } from './context.js';
import { EventLog } from './event-log.js';
import { createAgentMetrics } from './metrics.js';
import { nodeFigures } from './node-figures.js';
import { readBootId } from './node-info.js';
import { patientCaller } from './patient-caller.js';
import { RecordStore } from './record-store.js';
import { Registry } from './registry.js';
import { createHandlers } from './service.js';
import { VolumeStore } from './volume-store.js';

/** Starts the node agent: reads its records, hears what happens, adopts what runs. Stopping leaves containers alone. */
export function startNodeAgent(
  environment: ServiceEnvironment,
  config: NodeAgentConfig,
): Promise<RunningService> {
  return startService({
    name: 'node-agent',
    descriptor: node.NodeAgent,
    environment,
    start: async ({ bus, busMetrics, logger, registry: figures, signal, nodeId, version }) => {
      const registry = new Registry();
      const events = new EventLog(config.kept_events, (event) =>
        bus.publishEvent('container', common.NodeEventCodec, event),
      );
      const context: AgentContext = {
        bus: patientCaller(bus),
        config,
        logger,
        metrics: createAgentMetrics(figures, nodeFigures(registry, config.state_dir)),
        records: new RecordStore(config.state_dir),
        volumes: new VolumeStore(config.state_dir),
        events,
        bootId: readBootId(),
        nodeId,
        version,
        signal,
      };
      const agent = new Agent(context, registry);
      await agent.load();
      // Heard before the truth is listed: an exit in between is not missed.
      const stopHearing = [
        bus.subscribeEvents('process-exited', spawn.ProcessExitedEventCodec, (event) =>
          agent.processExited(event),
        ),
        bus.subscribeEvents('cgroup-oom', cgroup.OomEventCodec, (event) => agent.outOfMemory(event)),
        bus.subscribeEvents('image', common.NodeEventCodec, (event) => events.take(event)),
        bus.onReconnect(() => agent.reconnected()),
      ];
      agent.watch();
      const { natsUrl, clusterKeySeed: nkeySeed = '' } = environment;
      const cluster = new Cluster(agent, { natsUrl, nkeySeed, busMetrics });
      registerClusterMetrics(figures, {
        member: () => cluster.membership !== undefined,
        connected: () => cluster.connected,
        frozen: () => cluster.frozenReason !== '',
        leaseSeconds: () => (cluster.link?.lease?.leftMs ?? 0) / 1000,
        tasks: () => cluster.runner.countStates(),
      });
      cluster.start();
      return {
        handlers: createHandlers(agent),
        also: [
          alsoServed(node.Membership, createMembership(cluster, nkeySeed)),
          alsoServed(
            control.Control,
            createRelay(() => cluster.relayPlace()),
          ),
        ],
        stop: async () => {
          for (const stop of stopHearing) stop();
          await cluster.stop();
          agent.dispose();
        },
      };
    },
  });
}

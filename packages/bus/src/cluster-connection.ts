import { Bus } from './bus.js';
import type { BusMetrics } from './bus-metrics.js';
import { agentInbox, controlInbox, controlSubject } from './subjects.js';

interface ClusterConnectionOptions {
  readonly nodeId: string;
  /** The own node's nats-server. */
  readonly natsUrl: string;
  readonly nkeySeed: string;
  readonly metrics: BusMetrics;
}

/** How long a call waits while the cluster has no leader, milliseconds: longer than an election takes. */
const leaderlessWaitMs = 20_000;

/**
 * Connects a node's agent or its control to the account CLUSTER, through the node's own nats-server. The agent's calls go
 * to control under the node's own id; control names the subject of each call.
 */
export function connectCluster(kind: 'agent' | 'control', options: ClusterConnectionOptions): Promise<Bus> {
  const { nodeId } = options;
  return Bus.connect({
    ...options,
    name: kind,
    inbox: kind === 'agent' ? agentInbox(nodeId) : controlInbox(nodeId),
    subjectFor: (_service, method) => controlSubject(nodeId, method),
    absentServiceWaitMs: leaderlessWaitMs,
  });
}

import { Bus } from './bus.js';
import type { BusMetrics } from './bus-metrics.js';
import { agentInbox, callerNodeOf, controlInboxFor, controlSubject, storeInbox } from './subjects.js';

interface ClusterConnectionOptions {
  readonly nodeId: string;
  /** The own node's nats-server. */
  readonly natsUrl: string;
  readonly nkeySeed: string;
  readonly metrics: BusMetrics;
  /** Ends the connecting. */
  readonly signal?: AbortSignal | undefined;
}

/** How long a call waits while the cluster has no leader, milliseconds: longer than an election takes. */
const leaderlessWaitMs = 20_000;

/**
 * Connects a node's agent or its control to the account CLUSTER, through the node's own nats-server. The agent's calls go
 * to control under the node's own id. Control names the subject of each stream that it opens at an agent; its unary calls
 * are answered by the store alone.
 */
export function connectCluster(kind: 'agent' | 'control', options: ClusterConnectionOptions): Promise<Bus> {
  const { nodeId } = options;
  return Bus.connect({
    ...options,
    name: kind,
    ...(kind === 'agent'
      ? { inbox: agentInbox(nodeId) }
      : {
          inbox: storeInbox(nodeId),
          streamInboxFor: (subject: string) => controlInboxFor(nodeId, callerNodeOf(subject)),
        }),
    subjectFor: (_service, method) => controlSubject(nodeId, method),
    absentServiceWaitMs: leaderlessWaitMs,
    absent: () => 'the cluster has no leader that this node can reach',
  });
}

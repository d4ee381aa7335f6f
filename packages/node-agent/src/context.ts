import type { Bus, ServiceKit } from '@gantry/bus';
import type { NodeAgentConfig } from './config.js';
import type { EventLog } from './event-log.js';
import type { AgentMetrics } from './metrics.js';
import type { RecordStore } from './record-store.js';
import type { VolumeStore } from './volume-store.js';

/** What the agent needs of the bus; a scripted one serves tests of ordering. */
export type Caller = Pick<Bus, 'call' | 'openStream'>;

/** What everything in the agent works with. One a service, handed down, never global. */
export interface AgentContext {
  readonly bus: Caller;
  readonly config: NodeAgentConfig;
  readonly logger: ServiceKit['logger'];
  readonly metrics: AgentMetrics;
  readonly records: RecordStore;
  readonly volumes: VolumeStore;
  readonly events: EventLog;
  /** /proc/sys/kernel/random/boot_id */
  readonly bootId: string;
  readonly nodeId: string;
  readonly version: string;
  /** Aborted when the service stops. */
  readonly signal: AbortSignal;
}

import type { Bus, ServiceKit } from '@gantry/bus';
import type { StreamKit } from './http-stream.js';
import type { ApiMetrics } from './metrics.js';

/** What the routes work with. */
export interface ApiParts {
  readonly bus: Bus;
  readonly nodeId: string;
  readonly version: string;
  readonly logger: ServiceKit['logger'];
  readonly metrics: ApiMetrics;
  readonly streams: StreamKit;
  readonly spoolDirectory: string;
  /** To be called when this node may have joined or left a cluster. */
  membershipChanged(this: void): void;
}

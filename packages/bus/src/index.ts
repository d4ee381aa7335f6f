export {
  Bus,
  type BusOptions,
  type CallOptions,
  type ClientStream,
  type ServiceListing,
  type StreamOptions,
} from './bus.js';
export { createBusMetrics, type BusMetrics } from './bus-metrics.js';
export type { CallContext, Handlers } from './serve.js';
export {
  startService,
  type RunningService,
  type ServiceEnvironment,
  type ServiceKit,
  type ServiceParts,
} from './service-harness.js';
export {
  busUsers,
  nodeServices,
  permissionsFor,
  type BusUser,
  type NodeService,
  type Permissions,
} from './access.js';
export { eventSubject, inboxPrefix, methodSubject, serviceSubjects } from './subjects.js';

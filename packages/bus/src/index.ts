export { Bus, type BusOptions, type CallOptions, type StreamOptions } from './bus.js';
export type { ClientStream } from './client-stream.js';
export type { ServiceListing } from './service-listing.js';
export { createBusMetrics, type BusMetrics } from './bus-metrics.js';
export { KeyedQueue } from './keyed-queue.js';
export { connectCluster } from './cluster-connection.js';
export { serveMethods, type CallContext, type Handlers, type Serving } from './serve.js';
export {
  alsoServed,
  startService,
  type AlsoServed,
  type RunningService,
  type ServiceEnvironment,
  type ServiceKit,
  type ServiceParts,
} from './service-harness.js';
export {
  agentPermissions,
  busUsers,
  controlPermissions,
  optionalServices,
  nodeServices,
  permissionsFor,
  type BusUser,
  type NodeService,
  type Permissions,
} from './access.js';
export {
  agentInbox,
  agentSubject,
  callerNodeOf,
  controlInbox,
  controlInboxFor,
  controlSubject,
  controlSubjects,
  eventSubject,
  inboxPrefix,
  methodSubject,
  serviceSubjects,
  storeInbox,
} from './subjects.js';

export type * from './runtime-spec.js';
export type * from './image-spec.js';
export { MEDIA_TYPES } from './image-spec.js';
export type { Checked } from './checked.js';
export { parseLossless, stringifyLossless, type WideInteger } from './lossless-json.js';
export { SIGNAL_NUMBERS, parseSignal, signalName } from './signals.js';
export {
  CAPABILITIES,
  DEFAULT_CAPABILITIES,
  normalizeCapability,
  processCapabilities,
  resolveCapabilities,
  type CapabilityWish,
} from './capabilities.js';
export { defaultSeccomp, parseSeccompProfile, type SeccompArchitecture } from './seccomp.js';
export { RLIMIT_INFINITY, resolveUlimits, type UlimitWish } from './ulimits.js';
export { resolveSysctls, type SysctlSplit } from './sysctls.js';
export {
  DEFAULT_DEVICES,
  DEFAULT_DEVICE_RULES,
  resolveDevice,
  type DeviceWish,
  type HostDevice,
  type ResolvedDevice,
} from './devices.js';
export {
  parseGroup,
  parsePasswd,
  resolveUser,
  type GroupEntry,
  type PasswdEntry,
  type ResolvedUser,
  type UserFiles,
} from './users.js';
export {
  DEFAULT_PATH,
  mergeEnvironment,
  mergeExecution,
  processEnvironment,
  resolveInside,
  type Execution,
  type ExecutionWish,
  type HealthCheckWish,
  type ResolvedHealthCheck,
} from './image-merge.js';
export {
  DEFAULT_SHM_BYTES,
  defaultMounts,
  MASKED_PATHS,
  mergeMounts,
  READONLY_PATHS,
} from './default-mounts.js';
export {
  composeProcess,
  composeRuntimeSpec,
  deviceRules,
  OCI_VERSION,
  type ContainerFacts,
  type ProcessFacts,
} from './compose-spec.js';

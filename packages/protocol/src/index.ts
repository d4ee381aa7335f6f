export type { Codec, Init, Method, MethodKind, ServiceDescriptor } from './codec.js';
export {
  GantryError,
  asGantryError,
  isGantryError,
  type ErrorCode,
  type GantryErrorFields,
} from './error.js';
export { decodeError, encodeError } from './wire-error.js';
export * as common from './generated/common.js';
export * as image from './generated/image.js';
export * as network from './generated/network.js';
export * as cgroup from './generated/cgroup.js';
export * as spawn from './generated/spawn.js';
export * as node from './generated/node.js';
export * as control from './generated/control.js';

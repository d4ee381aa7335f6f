// What `gantry-oci` needs of the process-creating code: everything but the bus, the shim's life and their libraries.
export { compileContainer, type ContainerInput, type HostFacts } from './container-plan.js';
export {
  DirectLauncher,
  openStartDoor,
  readStartTicks,
  type DirectLaunch,
  type DirectProcess,
  type DirectResult,
} from './direct-launcher.js';
export { compileExec, type ExecInput } from './exec-plan.js';
export type { Handle } from './handle.js';
export { checkHooks, type HookState } from './hook-plan.js';
export { readHostFacts } from './host.js';
export { namespaceFlag, planNamespaces } from './namespace-plan.js';
export { isNativeError, loadNative, nativeDirectory, type NativeSpawner } from './native.js';
export { SpecRefusal } from './refusal.js';
export { SeccompCompiler, type CompiledSeccomp } from './seccomp.js';
export { checkProcessShape, checkSpecShape } from './spec-shape.js';
export { errnoText, failureReason, type StartFailure } from './start-failure.js';
export type { CallerSupervision, Supervision } from './supervision.js';
export { hookFailureText, runHooks, type HookFailure, type LateHookKind } from './hooks.js';
export { parseMountOptions } from './mount-options.js';
export { SECCOMP_WORDS, supportedSeccompFlags } from './seccomp.js';
export { SeccompCache } from './seccomp-cache.js';

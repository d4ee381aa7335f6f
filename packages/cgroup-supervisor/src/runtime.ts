/**
 * The second entrance of this package: cgroups for a runtime that is called for one container and ends, gantry-oci. It
 * shares what the service is made of, and nothing of the bus. All state is in the plain {@link RuntimeCgroup}.
 */
export type { RuntimeCgroup, CgroupManager } from './runtime-cgroup.js';
export { cgroupHandles, cgroupPids, execCgroup, subCgroup } from './runtime-cgroup.js';
export { createCgroup, type CreateCgroupInput } from './runtime-create.js';
export { updateCgroup } from './runtime-update.js';
export { deleteCgroup, freezeCgroup, isFrozen, signalCgroup, thawCgroup } from './runtime-control.js';
export { cgroupStats } from './runtime-stats.js';
export { watchOom } from './runtime-oom.js';
export { cgroupFeatures, scopeJoined } from './runtime-systemd.js';

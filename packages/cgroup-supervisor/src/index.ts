export { cgroupSupervisorConfigSchema, type CgroupSupervisorConfig } from './config.js';
export { findHierarchies, startCgroupSupervisor } from './main.js';
export { CgroupKeeper, type CgroupWish } from './cgroup-keeper.js';
export { CgroupTree } from './tree.js';
export { CgroupRecords } from './records.js';

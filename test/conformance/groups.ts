import type { Case } from './case.js';
import { cgroupCases } from './cases/cgroups.js';
import { commandLineCases } from './cases/command-line.js';
import { deviceCases } from './cases/devices.js';
import { hookCases } from './cases/hooks.js';
import { kernelCases } from './cases/kernel.js';
import { lifecycleCases } from './cases/lifecycle.js';
import { mountOptionCases } from './cases/mount-options.js';
import { mountCases } from './cases/mounts.js';
import { namespaceCases } from './cases/namespaces.js';
import { pathCases } from './cases/paths.js';
import { processCases } from './cases/process.js';
import { resourceCases } from './cases/resources.js';
import { rootCases } from './cases/root.js';
import { schedulingCases } from './cases/scheduling.js';
import { seccompCases } from './cases/seccomp.js';
import { terminalCases } from './cases/terminal.js';

/** All cases, by the name of the file in `cases` that has them. */
export const groups = {
  cgroups: cgroupCases,
  'command-line': commandLineCases,
  devices: deviceCases,
  hooks: hookCases,
  kernel: kernelCases,
  lifecycle: lifecycleCases,
  'mount-options': mountOptionCases,
  mounts: mountCases,
  namespaces: namespaceCases,
  paths: pathCases,
  process: processCases,
  resources: resourceCases,
  root: rootCases,
  scheduling: schedulingCases,
  seccomp: seccompCases,
  terminal: terminalCases,
} as const satisfies Readonly<Record<string, readonly Case[]>>;

export type GroupName = keyof typeof groups;

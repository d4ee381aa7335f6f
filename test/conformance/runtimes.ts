import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Who is judged: ours, and the two that the field runs, so that a case is known to test the specification. */
export const runtimeNames = ['gantry-oci', 'runc', 'crun'] as const;
export type RuntimeName = (typeof runtimeNames)[number];

export interface Runtime {
  readonly name: RuntimeName;
  /** Program and words in front of the runtime's own. */
  readonly command: readonly string[];
}

const ours = fileURLToPath(new URL('../../../bin/gantry-oci', import.meta.url));

/**
 * crun 1.8 takes a hybrid hierarchy (v1 with an empty v2 at `unified`) for one that it can only half use, so it gets a mount
 * namespace of its own without that mount. `slave`: what is mounted on the host still arrives, nothing goes back.
 */
const withoutUnified = [
  'unshare',
  '--mount',
  '--propagation',
  'slave',
  'sh',
  '-c',
  'umount -l /sys/fs/cgroup/unified && exec crun "$@"',
  'crun',
];

const isHybrid = existsSync('/sys/fs/cgroup/unified/cgroup.procs');

export const runtimes: readonly Runtime[] = [
  { name: 'gantry-oci', command: [ours] },
  { name: 'runc', command: ['runc'] },
  { name: 'crun', command: isHybrid ? withoutUnified : ['crun'] },
];

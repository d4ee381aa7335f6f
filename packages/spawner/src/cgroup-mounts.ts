import type { MountOptions } from './mount-options.js';

/** One cgroup hierarchy mounted on the host. */
export interface Hierarchy {
  readonly mountPoint: string;
  readonly version: 1 | 2;
  /** v1: the options that name it, `memory` or `name=systemd`. */
  readonly controllers: readonly string[];
}

/** Options of a v1 mount that say how, not which. */
const NOT_CONTROLLERS = new Set([
  'rw',
  'ro',
  'xattr',
  'clone_children',
  'noprefix',
  'cpuset_v2_mode',
  'favordynmods',
]);

/** The hierarchies of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export function parseHierarchies(mountinfo: string): readonly Hierarchy[] {
  const found: Hierarchy[] = [];
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const mountPoint = before.split(' ')[4];
    const [type, , options = ''] = after.split(' ');
    if (mountPoint === undefined) continue;
    if (type === 'cgroup2') found.push({ mountPoint, version: 2, controllers: [] });
    if (type === 'cgroup') {
      const controllers = options
        .split(',')
        .filter((option) => !NOT_CONTROLLERS.has(option) && !option.startsWith('release_agent='));
      found.push({ mountPoint, version: 1, controllers });
    }
  }
  return found;
}

/** A file system to mount for the container's own view of its cgroups. */
export interface CgroupMount {
  readonly type: string;
  readonly target: string;
  readonly parameters: MountOptions['parameters'];
  readonly tolerated: boolean;
  /** The container's own cgroup on the host: what a container that shares the host's cgroup namespace sees instead. */
  readonly own?: string;
}

function hierarchyOf(path: string, hierarchies: readonly Hierarchy[]): Hierarchy | undefined {
  return hierarchies
    .filter(({ mountPoint }) => path === mountPoint || path.startsWith(`${mountPoint}/`))
    .sort((a, b) => b.mountPoint.length - a.mountPoint.length)[0];
}

/**
 * What to mount at `target`. Only hierarchies in which the container has a cgroup of its own: in any other its namespace's root
 * is the whole machine's.
 */
export function planCgroupMounts(
  cgroupPaths: readonly string[],
  hierarchies: readonly Hierarchy[],
  target: string,
): readonly CgroupMount[] {
  const own = cgroupPaths.flatMap((path) => {
    const found = hierarchyOf(path, hierarchies);
    return found === undefined ? [] : [{ ...found, path }];
  });
  const v1 = own.filter(({ version }) => version === 1);
  if (own[0] !== undefined && v1.length === 0)
    return [{ type: 'cgroup2', target, parameters: [], tolerated: true, own: own[0].path }];
  return [
    { type: 'tmpfs', target, parameters: [{ key: 'mode', value: '755' }], tolerated: false },
    ...v1.map(({ mountPoint, controllers, path }) => ({
      type: 'cgroup',
      target: `${target}/${mountPoint.slice(mountPoint.lastIndexOf('/') + 1)}`,
      parameters: controllers.flatMap((controller) =>
        controller.startsWith('name=')
          ? [
              { key: 'none', value: undefined },
              { key: 'name', value: controller.slice(5) },
            ]
          : [{ key: controller, value: undefined }],
      ),
      tolerated: true,
      own: path,
    })),
  ];
}

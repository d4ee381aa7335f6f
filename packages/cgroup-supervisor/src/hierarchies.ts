import { parseMountTable, type MountedFileSystem } from './mount-table.js';

/** 1, 2, or 3 for hybrid: v1 hierarchies beside a unified one. */
export type CgroupVersion = 1 | 2 | 3;

/** A mounted cgroup tree. */
export interface Hierarchy {
  /** v1: its controllers ("cpu,cpuacct") or, without any, its name ("systemd"); v2: "unified". */
  readonly name: string;
  readonly kind: 'v1' | 'v2';
  /** Controllers whose files are found here. */
  readonly controllers: readonly string[];
  readonly mountPoint: string;
  /** The cgroup that the mount point shows; absent or "/" for the whole hierarchy. */
  readonly root?: string;
  readonly readOnly: boolean;
}

/** A cgroup's directory in one hierarchy. */
export interface Place {
  readonly hierarchy: Hierarchy;
  readonly directory: string;
}

/** All hierarchies of this machine that containers can be put into. */
export interface Hierarchies {
  readonly version: CgroupVersion;
  readonly all: readonly Hierarchy[];
  readonly unified: Hierarchy | undefined;
}

const v1Controllers = new Set([
  'blkio', 'cpu', 'cpuacct', 'cpuset', 'devices', 'freezer', 'hugetlb',
  'memory', 'misc', 'net_cls', 'net_prio', 'perf_event', 'pids', 'rdma',
]); // prettier-ignore

/** v1's super block options mix controllers, "name=" and flags such as "xattr" or "favordynmods". */
function v1Hierarchy(
  { mountPoint, root, superOptions }: MountedFileSystem,
  readOnly: boolean,
): Hierarchy | undefined {
  const controllers = superOptions.filter((option) => v1Controllers.has(option));
  const title = superOptions.find((option) => option.startsWith('name='))?.slice('name='.length);
  const name = controllers.length > 0 ? controllers.join(',') : title;
  return name === undefined ? undefined : { name, kind: 'v1', controllers, mountPoint, root, readOnly };
}

/**
 * The hierarchies mounted at or below `mountRoot`.
 *
 * @param mountinfo text of /proc/self/mountinfo
 * @param readUnifiedControllers the words of `cgroup.controllers` below a v2 mount point
 * @returns undefined when there is none
 */
export function detectHierarchies(
  mountinfo: string,
  mountRoot: string,
  readUnifiedControllers: (mountPoint: string) => readonly string[],
): Hierarchies | undefined {
  const base = mountRoot.replace(/\/+$/, '');
  const seen = new Set<string>();
  const v1: Hierarchy[] = [];
  let unified: Hierarchy | undefined;
  for (const mount of parseMountTable(mountinfo)) {
    if (mount.type !== 'cgroup' && mount.type !== 'cgroup2') continue;
    if (mount.mountPoint !== base && !mount.mountPoint.startsWith(`${base}/`)) continue;
    // The same hierarchy may be mounted twice ("cpu" and "cpuacct" linked to "cpu,cpuacct"): joining it once is enough.
    if (seen.has(mount.device)) continue;
    seen.add(mount.device);
    const { mountPoint } = mount;
    const readOnly = mount.mountOptions.includes('ro') || mount.superOptions.includes('ro');
    if (mount.type === 'cgroup2') {
      unified = {
        name: 'unified',
        kind: 'v2',
        controllers: readUnifiedControllers(mountPoint),
        mountPoint,
        root: mount.root,
        readOnly,
      };
    } else {
      const hierarchy = v1Hierarchy(mount, readOnly);
      if (hierarchy !== undefined) v1.push(hierarchy);
    }
  }
  const all = unified === undefined ? v1 : [...v1, unified];
  if (all.length === 0) return undefined;
  const version = unified === undefined ? 1 : v1.length === 0 ? 2 : 3;
  return { version, all, unified };
}

/** The hierarchy that a controller's files are in; undefined when this machine does not offer the controller. */
export function homeOf(hierarchies: Pick<Hierarchies, 'all'>, controller: string): Hierarchy | undefined {
  return hierarchies.all.find((hierarchy) => hierarchy.controllers.includes(controller));
}

/** The place in which a controller's files are. */
export function placeFor(places: readonly Place[], controller: string): Place | undefined {
  return places.find(({ hierarchy }) => hierarchy.controllers.includes(controller));
}

/** The place that answers for all: which processes a container has, and whether it exists. */
export function primaryOf(places: readonly Place[]): Place | undefined {
  return (
    places.find(({ hierarchy }) => hierarchy.kind === 'v2') ??
    placeFor(places, 'pids') ??
    placeFor(places, 'memory') ??
    places[0]
  );
}

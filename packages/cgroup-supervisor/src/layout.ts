import { join } from 'node:path';
import type { Hierarchy } from './hierarchies.js';

/** Where the node's cgroups are in each hierarchy. */
export interface Layout {
  /** "gantry": the node's own cgroup, relative to the mount point. */
  readonly root: string;
}

const containerIdPattern = /^[0-9a-f]{64}$/;
/** The name of the cgroup that shims live in. */
export const shimsName = 'shims';

/** Ids become parts of paths: nothing else may pass. */
export function isContainerId(text: string): boolean {
  return containerIdPattern.test(text);
}

export function rootDirectory(layout: Layout, hierarchy: Hierarchy): string {
  return join(hierarchy.mountPoint, layout.root);
}

export function shimsDirectory(layout: Layout, hierarchy: Hierarchy): string {
  return join(rootDirectory(layout, hierarchy), shimsName);
}

/**
 * The parent of the containers' cgroups. On v2 one of their own, so that containers together can be weighed against
 * shims; v1 has no such rule and each level costs a little in every charge.
 */
export function containersDirectory(layout: Layout, hierarchy: Hierarchy): string {
  const root = rootDirectory(layout, hierarchy);
  return hierarchy.kind === 'v2' ? join(root, 'containers') : root;
}

export function containerDirectory(layout: Layout, hierarchy: Hierarchy, containerId: string): string {
  return join(containersDirectory(layout, hierarchy), containerId);
}

/** The cgroup's path inside its hierarchy, as /proc/<pid>/cgroup says it: "/gantry/<id>". */
export function pathInHierarchy(directory: string, hierarchy: Hierarchy): string {
  return directory.slice(hierarchy.mountPoint.replace(/\/+$/, '').length);
}

/** Each level from the hierarchy's mount point, exclusive, to the directory, inclusive. */
export function levelsBelow(mountPoint: string, directory: string): readonly string[] {
  const names = directory.slice(mountPoint.length).split('/').filter(Boolean);
  return names.map((_, index) => join(mountPoint, ...names.slice(0, index + 1)));
}

import { dirname, join, normalize } from 'node:path';
import type { Hierarchy } from './hierarchies.js';

/** "controllers:path" of each line of /proc/<pid>/cgroup; v2's line has no controllers. See cgroups(7). */
export function parseOwnCgroups(text: string): ReadonlyMap<string, string> {
  const own = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (match === null) continue;
    const [, names = '', path = '/'] = match;
    for (const name of names === '' ? ['unified'] : names.replace(/^name=/, '').split(','))
      own.set(name, path);
  }
  return own;
}

/**
 * The directory of a container's cgroup in one hierarchy. An absolute path begins at the hierarchy's mount point, a
 * relative one at the caller's own cgroup; on a machine with v2 alone beside it, since v2 wants processes only in leaves.
 *
 * @param path the spec's cgroupsPath, or the container's id in its place
 */
export function directoryIn(
  hierarchy: Hierarchy,
  path: string,
  own: ReadonlyMap<string, string>,
  isUnifiedAlone: boolean,
): string {
  // Nothing may lead out of the hierarchy.
  const inside = normalize(`/${path}`);
  if (path.startsWith('/')) return join(hierarchy.mountPoint, inside);
  const key = hierarchy.kind === 'v2' ? 'unified' : (hierarchy.controllers[0] ?? hierarchy.name);
  const ours = belowRoot(own.get(key) ?? '/', hierarchy.root ?? '/');
  const base = isUnifiedAlone ? dirname(ours) : ours;
  return join(hierarchy.mountPoint, base, inside);
}

/** In a container without a cgroup namespace the mount shows only a part of the hierarchy, /proc names all of it. */
function belowRoot(path: string, root: string): string {
  if (path.split('/').includes('..')) return '/';
  if (root === '/' || !`${path}/`.startsWith(`${root}/`)) return path;
  return path.slice(root.length) || '/';
}

import { readFileSync, statSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { wordsOf } from './cgroup-files.js';
import { isDirectory, processesIn } from './directories.js';
import { primaryOf, type Hierarchies, type Hierarchy, type Place } from './hierarchies.js';

export type CgroupManager = 'cgroupfs' | 'systemd' | 'disabled';

/** What a container's state keeps: enough to find its cgroups again in another process. */
export interface RuntimeCgroup {
  /** The spec's cgroupsPath as asked for, or what stood in for it. */
  readonly path: string;
  readonly manager: CgroupManager;
  /** Absolute directories, one for each hierarchy; none with `disabled` or where nothing may be written. */
  readonly directories: readonly RuntimeDirectory[];
  /** The directories that were made for it, parents before children: the only ones that are removed with it. */
  readonly made: readonly string[];
  /** systemd's unit, where it made one. */
  readonly scope?: string;
  /** True when the unit is one of the user's own systemd. */
  readonly isUserScope?: boolean;
}

export interface RuntimeDirectory {
  /** "cpu,cpuacct" or "systemd" on v1, "unified" on v2. */
  readonly hierarchy: string;
  readonly kind: 'v1' | 'v2';
  readonly path: string;
}

/** The container's places; on v2 with the controllers that have arrived there. */
export function placesOf({ directories }: RuntimeCgroup): readonly Place[] {
  return directories.map(({ hierarchy, kind, path }) => ({
    directory: path,
    hierarchy: {
      name: hierarchy,
      kind,
      controllers: kind === 'v1' ? hierarchy.split(',') : wordsOf(join(path, 'cgroup.controllers')),
      mountPoint: '',
      readOnly: false,
    },
  }));
}

export function hierarchiesOf(places: readonly Place[]): Pick<Hierarchies, 'all' | 'unified'> {
  const all: readonly Hierarchy[] = places.map(({ hierarchy }) => hierarchy);
  return { all, unified: all.find(({ kind }) => kind === 'v2') };
}

/** The directories as a plan names them. Throws what stat(2) throws. */
export function cgroupHandles({
  directories,
}: RuntimeCgroup): readonly { readonly path: string; readonly device: number; readonly inode: number }[] {
  return directories.map(({ path }) => {
    const { dev, ino } = statSync(path);
    return { path, device: dev, inode: ino };
  });
}

/** All pids in the cgroup and below, ascending; none when it is gone. */
export function cgroupPids(cgroup: RuntimeCgroup): readonly number[] {
  const primary = primaryOf(placesOf(cgroup));
  return primary === undefined ? [] : processesIn(primary.directory);
}

/**
 * The cgroups below the container's own that an exec asks for: "path", or "controller,controller:path" on v1. They must
 * exist. Throws one sentence.
 */
export function subCgroup(cgroup: RuntimeCgroup, asked: readonly string[]): RuntimeCgroup {
  const directories = new Map(cgroup.directories.map((directory) => [directory.hierarchy, directory]));
  for (const text of asked) {
    const colon = text.indexOf(':');
    const controllers = colon < 0 ? undefined : text.slice(0, colon).split(',');
    const below = normalize(`/${text.slice(colon + 1)}`);
    if (`/${text.slice(colon + 1)}`.split('/').includes('..'))
      throw new Error(
        `the cgroup ${JSON.stringify(text)} is not below the container's own: \`..\` components are not allowed`,
      );
    const chosen = cgroup.directories.filter(
      ({ hierarchy }) =>
        controllers === undefined || hierarchy.split(',').some((name) => controllers.includes(name)),
    );
    if (chosen.length === 0)
      throw new Error(`the container has no cgroup of the controllers in ${JSON.stringify(text)}`);
    const wanted = chosen.map(({ hierarchy, kind, path }) => ({
      hierarchy,
      kind,
      path: join(path, below).replace(/\/+$/, ''),
    }));
    const found = wanted.filter(({ path }) => isDirectory(path));
    // Without controllers: in those hierarchies of v1 that somebody has made it in.
    const missing = wanted.find((one) => !found.includes(one));
    if (missing !== undefined && (controllers !== undefined || found.length === 0))
      throw new Error(`the cgroup ${missing.path} does not exist`);
    for (const directory of found) directories.set(directory.hierarchy, directory);
  }
  return { ...cgroup, directories: [...directories.values()] };
}

/**
 * Where a further process of the container can be put: v2 takes none into a cgroup that hands controllers down (an init
 * system inside has made children), so there the cgroup of the container's first process.
 */
export function execCgroup(cgroup: RuntimeCgroup, initPid: number): RuntimeCgroup {
  const directories = cgroup.directories.map((directory) => {
    const { kind, path } = directory;
    if (kind !== 'v2' || wordsOf(join(path, 'cgroup.subtree_control')).length === 0) return directory;
    const own = /^0::(.*)$/m.exec(readFileSync(`/proc/${initPid}/cgroup`, 'utf8'))?.[1] ?? '';
    // Its path from the hierarchy's root ends in what it is below the container's own.
    const names = path.split('/').filter(Boolean);
    for (let at = 0; at < names.length; at++) {
      const tail = `/${names.slice(at).join('/')}/`;
      if (!own.startsWith(tail)) continue;
      const inner = join(path, own.slice(tail.length));
      if (isDirectory(inner)) return { ...directory, path: inner };
    }
    return directory;
  });
  return { ...cgroup, directories };
}

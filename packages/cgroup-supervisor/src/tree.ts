import { join } from 'node:path';
import { statSync } from 'node:fs';
import {
  errnoName,
  readKernelFile,
  readKernelFileIfPresent,
  wordsOf,
  writeKernelFile,
} from './cgroup-files.js';
import { parseCpuList } from './cpu-list.js';
import { childNames, isDirectory, makeDirectory, processesIn, removeTree } from './directories.js';
import { homeOf, primaryOf, type Hierarchies, type Hierarchy, type Place } from './hierarchies.js';
import { handDown, inheritCpusets } from './delegation.js';
import {
  containerDirectory,
  containersDirectory,
  isContainerId,
  levelsBelow,
  rootDirectory,
  shimsDirectory,
  type Layout,
} from './layout.js';
import type { CpusetDefaults } from './plan-writes.js';
import type { Machine } from './limits.js';

/** v2 controllers that a container's cgroup should have. */
const wantedControllers: readonly string[] = ['cpuset', 'cpu', 'io', 'memory', 'pids'];

/**
 * The node's cgroups: made at start, one directory in every hierarchy for each container.
 *
 *   v1  <mount>/<controller>/<root>/{shims,<container-id>}
 *   v2  <mount>/<root>/{shims,containers/<container-id>}
 */
export class CgroupTree {
  readonly layout: Layout;
  #hierarchies: Hierarchies;
  #problems: readonly string[] = [];
  #prepared = false;

  constructor(hierarchies: Hierarchies, layout: Layout) {
    this.#hierarchies = hierarchies;
    this.layout = layout;
  }

  /** The unified one lists the controllers that could be enabled for containers. */
  get hierarchies(): Hierarchies {
    return this.#hierarchies;
  }

  /** What could not be enabled, as sentences. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Makes the node's own cgroups where they are not yet, or no longer. Idempotent. */
  prepare(): void {
    if (this.#prepared && this.shimPlaces().every(({ directory }) => isDirectory(directory))) return;
    const problems: string[] = [];
    this.#hierarchies = withUnified(this.#hierarchies, (unified) => {
      makeLevels(unified, containersDirectory(this.layout, unified));
      return this.#enableControllers(unified, problems);
    });
    for (const hierarchy of this.#hierarchies.all) {
      makeLevels(hierarchy, shimsDirectory(this.layout, hierarchy));
      if (hierarchy.controllers.includes('cpuset') && hierarchy.kind === 'v1')
        inheritCpusets(hierarchy.mountPoint, shimsDirectory(this.layout, hierarchy));
    }
    this.#problems = problems;
    this.#prepared = true;
  }

  places(containerId: string): readonly Place[] {
    return this.#hierarchies.all.map((hierarchy) => ({
      hierarchy,
      directory: containerDirectory(this.layout, hierarchy, containerId),
    }));
  }

  shimPlaces(): readonly Place[] {
    return this.#hierarchies.all.map((hierarchy) => ({
      hierarchy,
      directory: shimsDirectory(this.layout, hierarchy),
    }));
  }

  /** The hierarchy that answers for all: which processes a container has, and whether it exists. */
  primaryPlace(containerId: string): Place {
    const place = primaryOf(this.places(containerId));
    if (place === undefined) throw new Error('there is no cgroup hierarchy');
    return place;
  }

  placeOf(controller: string, containerId: string): string | undefined {
    const hierarchy = homeOf(this.#hierarchies, controller);
    return hierarchy === undefined ? undefined : containerDirectory(this.layout, hierarchy, containerId);
  }

  exists(containerId: string): boolean {
    return isDirectory(this.primaryPlace(containerId).directory);
  }

  /** Ids of all containers that have a cgroup in any hierarchy, half-made ones included. */
  list(): readonly string[] {
    const ids = new Set<string>();
    for (const hierarchy of this.#hierarchies.all)
      for (const name of childNames(containersDirectory(this.layout, hierarchy)))
        if (isContainerId(name)) ids.add(name);
    return [...ids].sort();
  }

  /** Removes the node's own cgroups; gives what still lives in them, in which case nothing was removed. */
  tearDown(): readonly string[] {
    const living = this.list().map((id) => `container ${id}`);
    const shims = new Set(this.shimPlaces().flatMap(({ directory }) => processesIn(directory)));
    if (shims.size > 0)
      living.push(`${shims.size} processes in the shims' cgroup (${[...shims].slice(0, 5).join(', ')})`);
    if (living.length > 0) return living;
    const busy = this.#hierarchies.all
      .map((hierarchy) => rootDirectory(this.layout, hierarchy))
      .filter((directory) => !removeTree(directory));
    this.#prepared = false;
    return busy;
  }

  /** What CPUs and memory nodes containers can be given. */
  machine(): Machine {
    const home = homeOf(this.#hierarchies, 'cpuset');
    const read = (v1Name: string, v2Name: string, fallback: string): readonly number[] => {
      const inTree =
        home === undefined
          ? undefined
          : readKernelFileIfPresent(
              join(rootDirectory(this.layout, home), home.kind === 'v1' ? v1Name : v2Name),
            );
      const list = parseCpuList(inTree ?? readKernelFileIfPresent(fallback) ?? '0');
      return list === undefined || list.length === 0 ? [0] : list;
    };
    return {
      cpus: read('cpuset.cpus', 'cpuset.cpus.effective', '/sys/devices/system/cpu/online'),
      memoryNodes: read('cpuset.mems', 'cpuset.mems.effective', '/sys/devices/system/node/online'),
    };
  }

  /** What a v1 cpuset without a list of its own is given. */
  cpusetDefaults(): CpusetDefaults {
    const home = homeOf(this.#hierarchies, 'cpuset');
    if (home?.kind !== 'v1') return { cpus: '', mems: '' };
    const root = rootDirectory(this.layout, home);
    return {
      cpus: readKernelFile(join(root, 'cpuset.cpus')).trim(),
      mems: readKernelFile(join(root, 'cpuset.mems')).trim(),
    };
  }

  /** Hands controllers down to the containers' parent, level by level; gives those that arrived. */
  #enableControllers(unified: Hierarchy, problems: string[]): readonly string[] {
    const parent = containersDirectory(this.layout, unified);
    for (const level of [unified.mountPoint, ...levelsBelow(unified.mountPoint, parent)]) {
      const offered = wordsOf(join(level, 'cgroup.controllers'));
      const wanted = wantedControllers.filter((one) => offered.includes(one));
      if (level === unified.mountPoint && !isHandedDown(level, wanted)) emptyNamespaceRoot(level);
      problems.push(...handDown(level, wanted));
    }
    return wordsOf(join(parent, 'cgroup.subtree_control'));
  }
}

function isHandedDown(level: string, wanted: readonly string[]): boolean {
  const enabled = wordsOf(join(level, 'cgroup.subtree_control'));
  return wanted.every((one) => enabled.includes(one));
}

function withUnified(
  hierarchies: Hierarchies,
  controllersOf: (unified: Hierarchy) => readonly string[],
): Hierarchies {
  const { unified } = hierarchies;
  if (unified === undefined) return hierarchies;
  const enabled: Hierarchy = { ...unified, controllers: controllersOf(unified) };
  return {
    ...hierarchies,
    unified: enabled,
    all: hierarchies.all.map((one) => (one === unified ? enabled : one)),
  };
}

function makeLevels(hierarchy: Hierarchy, directory: string): void {
  for (const level of levelsBelow(hierarchy.mountPoint, directory)) makeDirectory(level);
}

/**
 * Where a cgroup namespace or a container gave us a root with processes in it (ours among them), controllers cannot be
 * handed down: on v2 a cgroup has either processes or controllers for its children. The processes move to a leaf named
 * "init", as every container engine inside a container does. Before the first controller: with processes inside, the
 * kernel takes cpu and pids, and then refuses memory for good, since the cgroup has become a threaded domain.
 */
function emptyNamespaceRoot(root: string): void {
  // The machine's own root has no cgroup.type and is exempt from the rule.
  if (statSync(join(root, 'cgroup.type'), { throwIfNoEntry: false }) === undefined) return;
  const leaf = join(root, 'init');
  // Again for what was forked meanwhile; what is outside our pid namespace reads as 0 and cannot be moved.
  for (let round = 0; round < 5; round++) {
    const pids = wordsOf(join(root, 'cgroup.procs')).filter((pid) => pid !== '0');
    if (pids.length === 0) return;
    makeDirectory(leaf);
    for (const pid of pids) moveProcess(pid, leaf);
  }
}

function moveProcess(pid: string, directory: string): void {
  try {
    writeKernelFile(join(directory, 'cgroup.procs'), pid);
  } catch (error) {
    // It has ended.
    if (errnoName(error) !== 'ESRCH') throw error;
  }
}

import { dirname, join } from 'node:path';
import { statSync } from 'node:fs';
import {
  errnoName,
  readKernelFile,
  readKernelFileIfPresent,
  reasonOf,
  writeKernelFile,
} from './cgroup-files.js';
import { parseCpuList } from './cpu-list.js';
import { childNames, isDirectory, makeDirectory, processesIn, removeTree } from './directories.js';
import { homeOf, type Hierarchies, type Hierarchy } from './hierarchies.js';
import {
  containerDirectory,
  containersDirectory,
  isContainerId,
  levelsBelow,
  rootDirectory,
  shimsDirectory,
  type Layout,
} from './layout.js';
import type { CpusetDefaults } from './limit-writes.js';
import type { Machine } from './limits.js';

/** A cgroup's directory in one hierarchy. */
export interface Place {
  readonly hierarchy: Hierarchy;
  readonly directory: string;
}

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
        inheritCpusets(hierarchy, shimsDirectory(this.layout, hierarchy));
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
    const { unified, all } = this.#hierarchies;
    const hierarchy =
      unified ?? homeOf(this.#hierarchies, 'pids') ?? homeOf(this.#hierarchies, 'memory') ?? all[0];
    if (hierarchy === undefined) throw new Error('there is no cgroup hierarchy');
    return { hierarchy, directory: containerDirectory(this.layout, hierarchy, containerId) };
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
      const offered = words(join(level, 'cgroup.controllers'));
      const enabled = words(join(level, 'cgroup.subtree_control'));
      for (const controller of wantedControllers) {
        if (!offered.includes(controller) || enabled.includes(controller)) continue;
        const problem = enableController(unified, level, controller);
        if (problem !== undefined) problems.push(problem);
      }
    }
    return words(join(parent, 'cgroup.subtree_control'));
  }
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

function words(path: string): readonly string[] {
  return (readKernelFileIfPresent(path) ?? '').split(/\s+/).filter(Boolean);
}

function makeLevels(hierarchy: Hierarchy, directory: string): void {
  for (const level of levelsBelow(hierarchy.mountPoint, directory)) makeDirectory(level);
}

/** Each level of a v1 cpuset starts empty and can give its children only what it has itself. */
function inheritCpusets(hierarchy: Hierarchy, directory: string): void {
  for (const level of levelsBelow(hierarchy.mountPoint, directory)) {
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (readKernelFile(join(level, file)).trim() !== '') continue;
      writeKernelFile(join(level, file), readKernelFile(join(dirname(level), file)).trim());
    }
  }
}

/**
 * Enables one controller for the children of a cgroup. Where a container or a cgroup namespace gave us a root that
 * has processes (ours among them), v2 refuses: a cgroup has either processes or controllers for children. Then they
 * move to a leaf named "init", as every container engine inside a container does.
 */
function enableController(unified: Hierarchy, level: string, controller: string): string | undefined {
  const file = join(level, 'cgroup.subtree_control');
  for (let attempt = 0; ; attempt++) {
    try {
      writeKernelFile(file, `+${controller}`);
      return undefined;
    } catch (error) {
      // Only the root of a namespace has both: the machine's root has no cgroup.type and is exempt from the rule.
      const isOurRoot =
        level === unified.mountPoint && statSync(join(level, 'cgroup.type'), { throwIfNoEntry: false });
      if (errnoName(error) === 'EBUSY' && isOurRoot && attempt < 5) moveProcesses(level, join(level, 'init'));
      else return `the controller "${controller}" cannot be enabled in ${level}: ${reasonOf(error)}`;
    }
  }
}

function moveProcesses(from: string, to: string): void {
  makeDirectory(to);
  for (const pid of words(join(from, 'cgroup.procs'))) {
    try {
      writeKernelFile(join(to, 'cgroup.procs'), pid);
    } catch (error) {
      if (errnoName(error) !== 'ESRCH') throw error;
    }
  }
}

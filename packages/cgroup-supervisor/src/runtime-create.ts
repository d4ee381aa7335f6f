import { existsSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { RuntimeResources } from '@gantry/oci';
import { errnoName, readKernelFileIfPresent, reasonOf, wordsOf } from './cgroup-files.js';
import { directoryIn, parseOwnCgroups } from './cgroup-path.js';
import { handDown, inheritCpusets } from './delegation.js';
import { restrictDevices } from './device-access.js';
import { readContainerRules } from './device-rules.js';
import { makeDirectory, processesIn } from './directories.js';
import { freezerOf } from './freezing.js';
import { detectHierarchies, primaryOf, type Hierarchies, type Hierarchy, type Place } from './hierarchies.js';
import { levelsBelow } from './layout.js';
import { changeLimitsNow, pathsBelow, writeFreshLimits } from './limit-transaction.js';
import { planResources, type PlacedWrite } from './resource-plan.js';
import { hierarchiesOf, placesOf, type CgroupManager, type RuntimeCgroup } from './runtime-cgroup.js';
import { startScope, stopScope, type Scope } from './runtime-systemd.js';

export interface CreateCgroupInput {
  readonly id: string;
  readonly cgroupsPath: string | undefined;
  readonly manager: CgroupManager;
  readonly resources: RuntimeResources | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  readonly rootless: boolean;
  /** Take a cgroup in which processes are already. */
  readonly joinExisting?: boolean;
  /**
   * Told what is about to be made, before it is: a caller that was killed in between finds by it what to remove. Names directories
   * that may never come to be.
   */
  readonly onPlan?: (planned: RuntimeCgroup) => void;
}

/** v2 controllers of which a container can be given a share; on a hybrid machine only those that are asked for. */
const sharedControllers: readonly string[] = [
  'cpuset',
  'cpu',
  'io',
  'memory',
  'hugetlb',
  'pids',
  'rdma',
  'misc',
];

/**
 * Makes a container's cgroups in every hierarchy and puts `linux.resources` in force: all of it, or nothing is left
 * behind and one sentence is thrown. Where nothing may be written a container without limits goes without cgroups.
 */
export async function createCgroup(input: CreateCgroupInput): Promise<RuntimeCgroup> {
  const { id, cgroupsPath, manager } = input;
  const path = cgroupsPath === undefined || cgroupsPath === '' ? id : cgroupsPath;
  if (manager === 'disabled') {
    refuseLimits(input.resources, 'cgroups are disabled');
    return { path, manager, directories: [], made: [] };
  }
  if (manager === 'cgroupfs') return makeCgroups(input, path, undefined);
  const scope = await startScope(input);
  try {
    return makeCgroups(input, scope.path, scope);
  } catch (error) {
    await stopScope(scope.unit, scope.isUser);
    throw error;
  }
}

function makeCgroups(input: CreateCgroupInput, path: string, scope: Scope | undefined): RuntimeCgroup {
  const { hierarchies, own } = findHierarchies();
  const maker = new CgroupMaker(hierarchies, input.resources ?? {});
  const wanted = (hierarchies?.all ?? []).map((hierarchy) => ({
    hierarchy,
    directory: directoryIn(hierarchy, path, own, hierarchies?.version === 2),
  }));
  const cgroupOf = (places: readonly Place[], made: readonly string[]): RuntimeCgroup => ({
    path: scope === undefined ? path : (input.cgroupsPath ?? path),
    manager: input.manager,
    directories: places.map(({ hierarchy, directory }) => ({
      hierarchy: hierarchy.name,
      kind: hierarchy.kind,
      path: directory,
    })),
    made,
    ...(scope === undefined ? {} : { scope: scope.unit, isUserScope: scope.isUser }),
  });
  // Without what is there already: that may be another's, and is neither to be killed nor to be removed.
  const missing = wanted.filter(({ directory }) => !existsSync(directory));
  input.onPlan?.(cgroupOf(missing, missing.flatMap(missingLevels)));
  try {
    for (const { hierarchy, directory } of wanted) maker.make(hierarchy, directory);
    const cgroup = cgroupOf(maker.places, maker.made);
    const places = placesOf(cgroup);
    if (input.joinExisting !== true && scope === undefined) refuseInUse(places, maker.made);
    applyLimits(input.resources ?? {}, places, maker);
    applyDevices(input, places, maker);
    return cgroup;
  } catch (error) {
    for (const directory of maker.made.toReversed()) removeIfPossible(directory);
    throw error;
  }
}

function missingLevels({ hierarchy, directory }: Place): readonly string[] {
  return levelsBelow(hierarchy.mountPoint, directory).filter((level) => !existsSync(level));
}

/** Makes the directories and remembers what it made and what it could not make. */
class CgroupMaker {
  readonly places: Place[] = [];
  readonly made: string[] = [];
  /** Why a hierarchy or a controller is not there for the container. */
  readonly problems: string[] = [];
  readonly #isHybrid: boolean;
  readonly #resources: RuntimeResources;

  constructor(hierarchies: Hierarchies | undefined, resources: RuntimeResources) {
    this.#isHybrid = hierarchies?.version === 3;
    this.#resources = resources;
    if (hierarchies === undefined) this.problems.push('no cgroup hierarchy is mounted');
  }

  make(hierarchy: Hierarchy, directory: string): void {
    try {
      this.#makeLevels(hierarchy, directory);
      if (hierarchy.kind === 'v1' && hierarchy.controllers.includes('cpuset'))
        inheritCpusets(hierarchy.mountPoint, directory);
    } catch (error) {
      if (!['EACCES', 'EPERM', 'EROFS'].includes(errnoName(error))) {
        if (errnoName(error) === '') throw error;
        throw new Error(`the cgroup ${directory} cannot be made: ${reasonOf(error)}`, { cause: error });
      }
      this.problems.push(`the cgroup hierarchy "${hierarchy.name}" may not be written: ${reasonOf(error)}`);
      return;
    }
    this.places.push({ hierarchy, directory });
  }

  #makeLevels(hierarchy: Hierarchy, directory: string): void {
    const levels = levelsBelow(hierarchy.mountPoint, directory);
    // Another container's end may take a parent away between two steps: then from the beginning, a few times.
    for (let round = 1; ; round++) {
      try {
        for (const level of levels) {
          if (hierarchy.kind === 'v2') this.#handDown(dirname(level), hierarchy.mountPoint);
          if (makeDirectory(level)) this.made.push(level);
        }
        return;
      } catch (error) {
        if (errnoName(error) !== 'ENOENT' || round === 5) throw error;
      }
    }
  }

  #handDown(level: string, mountPoint: string): void {
    const wanted = wordsOf(`${level}/cgroup.controllers`).filter((name) => this.#wants(name));
    const enabled = wordsOf(`${level}/cgroup.subtree_control`);
    if (wanted.every((name) => enabled.includes(name))) return;
    // With processes inside, the kernel takes cpu and pids and makes the cgroup a threaded domain, whose children are
    // of no use. The machine's own root is exempt; it has no cgroup.type.
    const isRoot = level === mountPoint && readKernelFileIfPresent(`${level}/cgroup.type`) === undefined;
    if (!isRoot && (readKernelFileIfPresent(`${level}/cgroup.procs`) ?? '') !== '')
      this.problems.push(`no controller can be enabled in ${level}: processes are in it`);
    else this.problems.push(...handDown(level, wanted));
  }

  #wants(controller: string): boolean {
    if (!sharedControllers.includes(controller)) return false;
    if (!this.#isHybrid) return true;
    const { memory, cpu, pids, blockIO, hugepageLimits, rdma, unified } = this.#resources;
    const asked = {
      memory,
      cpu,
      cpuset: cpu?.cpus ?? cpu?.mems,
      pids,
      io: blockIO,
      hugetlb: hugepageLimits?.[0],
      rdma: Object.keys(rdma ?? {})[0],
    } as Readonly<Record<string, unknown>>;
    const byName = Object.keys(unified ?? {}).some((file) => file.startsWith(`${controller}.`));
    return asked[controller] !== undefined || byName;
  }
}

function refuseInUse(places: readonly Place[], made: readonly string[]): void {
  const primary = primaryOf(places);
  if (primary === undefined || made.includes(primary.directory)) return;
  const { length } = processesIn(primary.directory);
  if (length > 0)
    throw new Error(`container's cgroup is not empty: ${length} process(es) found in ${primary.directory}`);
  if (freezerOf(places)?.isFrozen() === true) throw new Error("container's cgroup unexpectedly frozen");
}

function applyLimits(resources: RuntimeResources, places: readonly Place[], maker: CgroupMaker): void {
  const plan = planResources(resources, hierarchiesOf(places));
  if ('problem' in plan) {
    const because = plan.problem.includes('offers no') && maker.problems[0] !== undefined;
    throw new Error(because ? `${plan.problem}; ${maker.problems[0]}` : plan.problem);
  }
  const isFresh = places.every(({ directory }) => maker.made.includes(directory));
  (isFresh ? writeFreshLimits : changeLimitsNow)('the container', plan.writes, pathsOf(places));
}

/** Where the writes of a plan for these places go. */
export function pathsOf(places: readonly Place[]): (write: PlacedWrite) => string {
  const directories = new Map(places.map(({ hierarchy, directory }) => [hierarchy, directory]));
  return pathsBelow(({ hierarchy }) => directories.get(hierarchy) ?? '');
}

function applyDevices(input: CreateCgroupInput, places: readonly Place[], maker: CgroupMaker): void {
  const read = readContainerRules(input.resources?.devices ?? []);
  if ('problem' in read) throw new Error(read.problem);
  // Whoever may not write cgroups cannot make device nodes either, and a user namespace gives no access to any.
  if (input.rootless || maker.problems.length > 0 || isInUserNamespace()) {
    try {
      restrictDevices(places, read.rules);
    } catch {
      return;
    }
    return;
  }
  if (!restrictDevices(places, read.rules)) throw new Error('this machine offers no way to restrict devices');
}

function isInUserNamespace(): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));
}

/** Device rules are not counted: callers always send some. */
function refuseLimits(resources: RuntimeResources | undefined, why: string): void {
  if (resources === undefined) return;
  const plan = planResources(resources, { all: [], unified: undefined });
  if ('problem' in plan)
    throw new Error(plan.problem.replace(/ cannot be enforced.*$/s, ` cannot be enforced: ${why}`));
}

function removeIfPossible(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Somebody else is in it by now, or has removed it.
  }
}

/** The machine's hierarchies and where this process is in them. */
export function findHierarchies(): {
  readonly hierarchies: Hierarchies | undefined;
  readonly own: ReadonlyMap<string, string>;
} {
  const hierarchies = detectHierarchies(
    readFileSync('/proc/self/mountinfo', 'utf8'),
    '/sys/fs/cgroup',
    (mountPoint) => wordsOf(`${mountPoint}/cgroup.controllers`),
  );
  return { hierarchies, own: parseOwnCgroups(readFileSync('/proc/self/cgroup', 'utf8')) };
}

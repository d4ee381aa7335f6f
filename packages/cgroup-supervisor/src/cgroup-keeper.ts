import { statSync } from 'node:fs';
import type { cgroup, Init } from '@gantry/protocol';
import { reasonOf } from './cgroup-files.js';
import { restrictDevices } from './device-access.js';
import { readDeviceRules, type DeviceRule } from './device-rules.js';
import { makeDirectory, processesIn, removeTree } from './directories.js';
import { cgroupFailure } from './failure.js';
import { missingFeatures } from './features.js';
import { freezerOf, setFrozen } from './freezing.js';
import { destroyAll, killAll } from './killing.js';
import { isContainerId } from './layout.js';
import { changeLimits, LimitRefusal, pathsBelow, writeFreshLimits } from './limit-transaction.js';
import { planWrites } from './plan-writes.js';
import type { PlacedWrite } from './resource-plan.js';
import { readLimits } from './limits.js';
import { OneAtATime } from './one-at-a-time.js';
import { OomWatcher, type OomListener } from './oom-watcher.js';
import type { CgroupRecord, CgroupRecords } from './records.js';
import { placeFor, type Place } from './hierarchies.js';
import { nativeCgroup } from './native.js';
import type { CgroupTree } from './tree.js';
import { readUsage } from './usage.js';
import { tryUntil, type Deadline } from './waiting.js';

export interface CgroupWish {
  readonly containerId: string;
  readonly resources: Partial<cgroup.Resources>;
  readonly name: string;
  readonly image: string;
  /** The runtime-spec's list as JSON; empty for the default. */
  readonly devicesJson: Uint8Array;
}

export interface KeeperOptions {
  readonly tree: CgroupTree;
  readonly records: CgroupRecords;
  readonly onOom: OomListener;
  readonly onFailure: (error: unknown) => void;
}

/** Owns the containers' cgroups: the domain behind the service, without a bus. */
export class CgroupKeeper {
  readonly #tree: CgroupTree;
  readonly #records: CgroupRecords;
  readonly #oom: OomWatcher;
  readonly #turns = new OneAtATime();

  constructor({ tree, records, onOom, onFailure }: KeeperOptions) {
    this.#tree = tree;
    this.#records = records;
    this.#oom = new OomWatcher(tree, onOom, onFailure);
  }

  /** Makes the node's own cgroups and takes up the containers that are there: they outlived an earlier process of ours. */
  start(): void {
    this.#tree.prepare();
    this.#records.load();
    const living = new Set(this.#tree.list());
    for (const id of this.#records.ids()) if (!living.has(id)) this.#records.remove(id);
    for (const id of living) this.#oom.add(id);
  }

  /** Lets go of everything but the containers and their cgroups. */
  stop(): void {
    this.#oom.close();
  }

  get watchedCount(): number {
    return this.#oom.count;
  }

  create(wish: CgroupWish): Promise<Init<cgroup.Cgroup>> {
    const { containerId } = checkId('CreateCgroup', wish);
    return this.#turns.run(containerId, async () => {
      this.#tree.prepare();
      const writes = this.#plan('CreateCgroup', containerId, wish.resources);
      const devices = readDeviceRules(wish.devicesJson);
      if ('problem' in devices)
        throw cgroupFailure('invalid_argument', 'CreateCgroup', containerId, devices.problem);
      const made: Place[] = [];
      try {
        for (const place of this.#tree.places(containerId))
          if (makeDirectory(place.directory)) made.push(place);
        if (made.length === this.#tree.hierarchies.all.length)
          writeFreshLimits(`container ${containerId}`, writes, this.#pathOf(containerId));
        else await changeLimits(`container ${containerId}`, writes, this.#pathOf(containerId));
        const known = this.#records.get(containerId);
        if (known === undefined || made.length > 0) this.#applyDeviceRules(containerId, devices.rules);
        this.#records.save({
          id: containerId,
          name: wish.name,
          image: wish.image,
          createdAtMs: known?.createdAtMs ?? Date.now(),
        });
        this.#oom.add(containerId);
        return this.#describe(containerId);
      } catch (error) {
        this.#oom.remove(containerId);
        for (const { directory } of made) removeTree(directory);
        if (made.length === this.#tree.hierarchies.all.length) this.#records.remove(containerId);
        throw refused('CreateCgroup', containerId, error);
      }
    });
  }

  update(request: {
    readonly containerId: string;
    readonly resources: Partial<cgroup.Resources> | undefined;
    readonly name: string;
  }): Promise<void> {
    const { containerId } = checkId('UpdateCgroup', request);
    return this.#turns.run(containerId, async () => {
      this.#demand('UpdateCgroup', containerId);
      if (request.resources !== undefined) {
        const writes = this.#plan('UpdateCgroup', containerId, request.resources);
        this.#refuseBelowUse(containerId, request.resources);
        await changeLimits(`container ${containerId}`, writes, this.#pathOf(containerId)).catch(
          (error: unknown) => {
            throw refused('UpdateCgroup', containerId, error);
          },
        );
      }
      const record = this.#records.get(containerId);
      if (request.name !== '' && record?.name !== request.name)
        this.#records.save({
          id: containerId,
          image: '',
          createdAtMs: Date.now(),
          ...record,
          name: request.name,
        });
    });
  }

  /** @returns how many processes it had to kill */
  destroy(containerId: string, deadline: Deadline): Promise<number> {
    checkId('DestroyCgroup', { containerId });
    return this.#turns.run(containerId, async () => {
      const leftovers = processesIn(this.#tree.primaryPlace(containerId).directory).length;
      this.#oom.remove(containerId);
      const left = await destroyAll(this.#tree.places(containerId), deadline);
      if (left.length === 0) {
        this.#records.remove(containerId);
        return leftovers;
      }
      // Still there, so still watched.
      this.#oom.add(containerId);
      const pids = left.flatMap((directory) => processesIn(directory)).join(', ');
      const message = `the cgroup of container ${containerId} cannot be removed: processes ${pids} do not die (${left.join(', ')})`;
      throw cgroupFailure('deadline_exceeded', 'DestroyCgroup', containerId, message);
    });
  }

  setFrozen(containerId: string, frozen: boolean, deadline: Deadline): Promise<void> {
    const operation = frozen ? 'FreezeCgroup' : 'ThawCgroup';
    checkId(operation, { containerId });
    return this.#turns.run(containerId, async () => {
      this.#demand(operation, containerId);
      const freezer = freezerOf(this.#tree.places(containerId));
      if (freezer === undefined)
        throw cgroupFailure(
          'failed_precondition',
          operation,
          containerId,
          'this machine offers no freezer: containers cannot be paused',
        );
      if (await setFrozen(freezer, frozen, deadline)) return;
      const message = `container ${containerId} did not ${frozen ? 'freeze' : 'thaw'} in time`;
      throw cgroupFailure('deadline_exceeded', operation, containerId, message);
    });
  }

  /** SIGKILL to every process; waits until none is left. Not in the queue: a kill must not wait for a freeze. */
  async kill(containerId: string, deadline: Deadline): Promise<number> {
    checkId('KillCgroup', { containerId });
    const { directory } = this.#tree.primaryPlace(containerId);
    let killed = 0;
    const ended = await tryUntil(deadline, () => {
      killed = Math.max(killed, killAll(this.#tree.places(containerId)));
      return processesIn(directory).length === 0;
    });
    if (ended) return killed;
    const message = `processes ${processesIn(directory).join(', ')} of container ${containerId} do not die`;
    throw cgroupFailure('deadline_exceeded', 'KillCgroup', containerId, message);
  }

  processes(containerId: string): readonly number[] {
    checkId('ListProcesses', { containerId });
    this.#demand('ListProcesses', containerId);
    return processesIn(this.#tree.primaryPlace(containerId).directory);
  }

  /** Throws `not_found` when the container has no cgroup. */
  usage(containerId: string): cgroup.Usage {
    checkId('GetUsage', { containerId });
    const usage = this.usageIfPresent(containerId);
    if (usage === undefined) throw noCgroup('GetUsage', containerId);
    return usage;
  }

  usageIfPresent(containerId: string): cgroup.Usage | undefined {
    const usage = readUsage(this.#tree.places(containerId), containerId);
    if (usage !== undefined) this.#oom.check(containerId, usage.oomKillCount);
    return usage;
  }

  /** As {@link processes}; none when the container has no cgroup. */
  processesIfPresent(containerId: string): readonly number[] {
    return processesIn(this.#tree.primaryPlace(containerId).directory);
  }

  list(): readonly string[] {
    return this.#tree.list();
  }

  record(containerId: string): CgroupRecord | undefined {
    return this.#records.get(containerId);
  }

  info(): Init<cgroup.GetCgroupInfoResponse> {
    this.#tree.prepare();
    const { hierarchies, layout } = this.#tree;
    return {
      version: hierarchies.version,
      controllers: [...new Set(hierarchies.all.flatMap(({ controllers }) => controllers))].sort(),
      missing: [...missingFeatures(hierarchies, layout), ...this.#tree.problems],
      root: layout.root,
      shimPaths: this.#tree.shimPlaces().map(describePlace),
    };
  }

  /** Removes the node's own cgroups. */
  tearDown(): void {
    const living = this.#tree.tearDown();
    if (living.length > 0)
      throw cgroupFailure(
        'failed_precondition',
        'TearDown',
        this.#tree.layout.root,
        `the cgroups of ${this.#tree.layout.root} are in use: ${living.slice(0, 5).join('; ')}`,
      );
    this.#records.removeDirectory();
  }

  #plan(
    operation: string,
    containerId: string,
    resources: Partial<cgroup.Resources>,
  ): readonly PlacedWrite[] {
    const read = readLimits(resources, this.#tree.machine());
    if ('problem' in read) throw cgroupFailure('invalid_argument', operation, containerId, read.problem);
    const plan = planWrites(read.limits, this.#tree.hierarchies, this.#tree.cpusetDefaults());
    if ('problem' in plan) throw cgroupFailure('failed_precondition', operation, containerId, plan.problem);
    return plan.writes;
  }

  /** v2 would kill processes to get below a new memory.max; v1 refuses by itself. The same answer on both. */
  #refuseBelowUse(containerId: string, { memoryLimitBytes }: Partial<cgroup.Resources>): void {
    if (memoryLimitBytes === undefined || memoryLimitBytes === 0) return;
    const used = readUsage(this.#tree.places(containerId), containerId)?.memoryWorkingSetBytes ?? 0;
    if (used <= memoryLimitBytes) return;
    const message = `memory_limit_bytes of container ${containerId} cannot be set to ${memoryLimitBytes}: it uses ${used}`;
    throw cgroupFailure('failed_precondition', 'UpdateCgroup', containerId, message);
  }

  #applyDeviceRules(containerId: string, rules: readonly DeviceRule[]): void {
    // Without any way to do it the service has said so among what is missing.
    const places = this.#tree.places(containerId);
    if (placeFor(places, 'devices') === undefined && !nativeCgroup().canRestrictDevices()) return;
    try {
      restrictDevices(places, rules);
    } catch (error) {
      const message = `the devices of container ${containerId} cannot be restricted: ${reasonOf(error)}`;
      throw cgroupFailure('internal', 'CreateCgroup', containerId, message, error);
    }
  }

  #pathOf(containerId: string): (write: PlacedWrite) => string {
    const directories = new Map(
      this.#tree.places(containerId).map(({ hierarchy, directory }) => [hierarchy, directory]),
    );
    return pathsBelow((write) => directories.get(write.hierarchy) ?? '');
  }

  #describe(containerId: string): Init<cgroup.Cgroup> {
    return {
      version: this.#tree.hierarchies.version,
      paths: this.#tree.places(containerId).map(describePlace),
    };
  }

  #demand(operation: string, containerId: string): void {
    if (!this.#tree.exists(containerId)) throw noCgroup(operation, containerId);
  }
}

function describePlace({ hierarchy, directory }: Place): Init<cgroup.CgroupPath> {
  const { dev, ino } = statSync(directory);
  return { hierarchy: hierarchy.name, directory: { path: directory, device: dev, inode: ino } };
}

function noCgroup(operation: string, containerId: string): Error {
  return cgroupFailure('not_found', operation, containerId, `container ${containerId} has no cgroup`);
}

const refusalCodes = {
  conflict: 'failed_precondition',
  value: 'invalid_argument',
  failure: 'internal',
} as const;

function refused(operation: string, containerId: string, error: unknown): unknown {
  if (!(error instanceof LimitRefusal)) return error;
  return cgroupFailure(refusalCodes[error.kind], operation, containerId, error.message, error);
}

function checkId<T extends { readonly containerId: string }>(operation: string, request: T): T {
  if (isContainerId(request.containerId)) return request;
  const shown = JSON.stringify(request.containerId.slice(0, 80));
  throw cgroupFailure(
    'invalid_argument',
    operation,
    '',
    `container id ${shown} is not 64 hexadecimal digits`,
  );
}

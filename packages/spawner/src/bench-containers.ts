import { mkdirSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultSeccomp, DEFAULT_CAPABILITIES, type RuntimeSpec, stringifyLossless } from '@gantry/oci';
import { spawn, type Init } from '@gantry/protocol';
import type { Handle } from './handle.js';
import { handleOf, makeSandbox, newId, specOf, type Sandbox } from './spawner-fixture.js';

/**
 * What the benchmark starts: `bundle`, the very config.json that it gives crun and runc, or `default`, what a node makes of a
 * container that nothing special is asked of: user namespace, overlay over an id-mapped layer, seccomp.
 */
export type Shape = 'bundle' | 'default';

export interface BenchPlace {
  /** Of our own, on tmpfs. */
  readonly directory: string;
  /** Holds config.json and rootfs. */
  readonly bundle: string;
  /** Below the root of each hierarchy. */
  readonly cgroupName: string;
}

/** A request as it comes off the bus, and the container that it is for. */
export interface PreparedStart {
  readonly id: string;
  readonly bytes: Uint8Array;
}

/** Makes requests; everything that other services prepare for a start is there before. */
export class BenchContainers {
  readonly #place: BenchPlace;
  readonly #cgroups: readonly Handle[];
  readonly #shimCgroups: readonly Handle[];
  #sandbox: Sandbox | undefined;

  constructor(place: BenchPlace) {
    this.#place = place;
    mkdirSync(this.runDirectory, { recursive: true });
    mkdirSync(this.#logs, { recursive: true });
    this.#cgroups = makeCgroups(`${place.cgroupName}/container`);
    this.#shimCgroups = makeCgroups(`${place.cgroupName}/shims`);
  }

  get runDirectory(): string {
    return join(this.#place.directory, 'run');
  }

  get #logs(): string {
    return join(this.#place.directory, 'logs');
  }

  logOf(id: string): string {
    return join(this.#logs, `${id}.log`);
  }

  async prepare(shape: Shape, args: readonly string[]): Promise<PreparedStart> {
    const id = newId();
    const parts = shape === 'bundle' ? this.#ofBundle(args) : await this.#ofDefault(id, args);
    const init: Init<spawn.StartContainerRequest> = {
      containerId: id,
      attempt: 1,
      cgroups: this.#cgroups,
      shimCgroups: this.#shimCgroups,
      log: { path: this.logOf(id), maxSizeBytes: 0, maxFiles: 1 },
      ...parts,
    };
    return { id, bytes: spawn.StartContainerRequestCodec.encode(init) };
  }

  remove(): void {
    this.#sandbox?.remove();
  }

  #ofBundle(args: readonly string[]): Init<spawn.StartContainerRequest> {
    const spec = JSON.parse(readFileSync(join(this.#place.bundle, 'config.json'), 'utf8')) as RuntimeSpec;
    const own: RuntimeSpec = {
      ...spec,
      root: { ...spec.root, path: join(this.#place.bundle, 'rootfs') },
      ...(spec.process === undefined ? {} : { process: { ...spec.process, args } }),
    };
    return { runtimeSpecJson: Buffer.from(stringifyLossless(own)) };
  }

  async #ofDefault(id: string, args: readonly string[]): Promise<Init<spawn.StartContainerRequest>> {
    this.#sandbox ??= await makeSandbox(join(this.#place.directory, 'sandbox'));
    const writable = join(this.#place.directory, 'writable', id);
    for (const part of ['upper', 'work']) mkdirSync(join(writable, part), { recursive: true });
    const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
    const seccomp = defaultSeccomp([...DEFAULT_CAPABILITIES], architecture);
    const spec = specOf(args, { linux: { seccomp } });
    return {
      runtimeSpecJson: Buffer.from(stringifyLossless(spec)),
      rootfs: {
        lowerdirs: [handleOf(join(this.#place.bundle, 'rootfs'))],
        writable: handleOf(writable),
      },
      userNamespace: this.#sandbox.user,
      networkNamespace: this.#sandbox.network,
    };
  }
}

/** One directory in every hierarchy that there is, v1's or v2's. */
function makeCgroups(name: string): Handle[] {
  const root = '/sys/fs/cgroup';
  const hierarchies = existsSync(join(root, 'cgroup.procs'))
    ? [root]
    : readdirSync(root)
        .map((entry) => join(root, entry))
        .filter((path) => existsSync(join(path, 'tasks')));
  // A symbolic link (cpu -> cpu,cpuacct) is the same directory once more.
  const handles = hierarchies.map((hierarchy) => {
    let path = hierarchy;
    for (const part of name.split('/')) {
      path = join(path, part);
      mkdirSync(path, { recursive: true });
      if (existsSync(join(path, 'tasks'))) inheritProcessors(path);
    }
    return handleOf(path);
  });
  return handles.filter(
    (handle, index) =>
      handles.findIndex(({ device, inode }) => device === handle.device && inode === handle.inode) === index,
  );
}

/** A v1 cpuset begins empty, and then nobody can join it. */
function inheritProcessors(path: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const own = join(path, file);
    if (existsSync(own) && readFileSync(own, 'utf8').trim() === '')
      writeFileSync(own, readFileSync(join(path, '..', file)));
  }
}

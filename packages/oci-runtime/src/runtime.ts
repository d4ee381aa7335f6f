import { join } from 'node:path';
import { loadNative, type NativeSpawner } from '@gantry/spawner/runtime';
import { ContainerStore } from './container-store.js';
import { failure } from './failure.js';
import type { RuntimeLog } from './log.js';

export type CgroupManager = 'cgroupfs' | 'systemd' | 'disabled';

export interface RuntimeOptions {
  readonly root: string;
  readonly manager: CgroupManager;
  /** Go on without the cgroups that may not be made. */
  readonly rootless: boolean;
  readonly log: RuntimeLog;
}

/** What all verbs share. The add-on is loaded by those that need it. */
export class Runtime {
  readonly manager: CgroupManager;
  readonly rootless: boolean;
  readonly log: RuntimeLog;
  readonly store: ContainerStore;
  #native: NativeSpawner | undefined;

  constructor(options: RuntimeOptions) {
    this.manager = options.manager;
    this.rootless = options.rootless;
    this.log = options.log;
    this.store = new ContainerStore(options.root, () => this.native);
  }

  get native(): NativeSpawner {
    return (this.#native ??= loadNative());
  }
}

/** As runc: root's state is in /run, that of others in their runtime directory. */
export function stateRoot(given: string | undefined, environment: NodeJS.ProcessEnv): string {
  if (given !== undefined) return given;
  const own = environment.XDG_RUNTIME_DIR;
  return process.geteuid?.() !== 0 && own !== undefined && own !== ''
    ? join(own, 'gantry-oci')
    : '/run/gantry-oci';
}

export function readCgroupManager(given: string | undefined, systemd: boolean): CgroupManager {
  const manager = given ?? (systemd ? 'systemd' : 'cgroupfs');
  if (manager !== 'cgroupfs' && manager !== 'systemd' && manager !== 'disabled')
    failure(`unknown cgroup manager ${JSON.stringify(manager)}: cgroupfs, systemd or disabled`);
  return manager;
}

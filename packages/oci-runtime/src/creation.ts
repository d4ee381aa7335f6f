import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import type { RuntimeMount, RuntimeProcess, RuntimeSpec } from '@gantry/oci';
import { cgroupHandles, createCgroup, scopeJoined } from '@gantry/cgroup-supervisor/runtime';
import {
  compileContainer,
  DirectLauncher,
  planNamespaces,
  readHostFacts,
  SeccompCache,
  SeccompCompiler,
  type CompiledSeccomp,
  type CallerSupervision,
  type DirectProcess,
} from '@gantry/spawner/runtime';
import { readBundle, type Bundle } from './bundle.js';
import type { Given } from './command-line.js';
import type { ContainerRecord } from './container-record.js';
import type { HeldContainer } from './container-store.js';
import { failure, messageOf } from './failure.js';
import { hostMounts } from './host-mounts.js';
import { countListening, withListening } from './listening.js';
import { writePidFile } from './pid-file.js';
import { destroy, discard } from './removal.js';
import type { Runtime } from './runtime.js';
import { startWords } from './start-words.js';

/** Hooks may take their time; those with a timeout of their own end earlier. */
const launchTimeoutMs = 3_600_000;
const CAP_SYS_ADMIN = 21n;

export interface Creation {
  readonly held: HeldContainer;
  readonly record: ContainerRecord;
  readonly spec: RuntimeSpec;
  readonly process: DirectProcess;
}

/** How the container's process is watched; from the options of create and run. */
export interface Supervising {
  readonly awaitStart: boolean;
  readonly detach: boolean;
}

/** The path of a unix socket, when there is to be a terminal for it. */
export function readConsoleSocket(given: Given, terminal: boolean, leaves: boolean): string | undefined {
  const socket = given.text('console-socket');
  if (!terminal) {
    if (socket !== undefined) failure('cannot use console socket: the process has no terminal');
    return undefined;
  }
  if (!leaves) {
    if (socket !== undefined) failure('cannot use console socket if gantry-oci will not detach');
    return undefined;
  }
  return socket === undefined
    ? failure('cannot allocate tty if gantry-oci will detach without setting console socket')
    : resolve(socket);
}

export function readPidfdSocket(given: Given): string | undefined {
  const socket = given.text('pidfd-socket');
  return socket === undefined ? undefined : resolve(socket);
}

/** Those that --preserve-fds asks for and, before them, those of socket activation. */
export function countPreserved(given: Given): number {
  const asked = given.count('preserve-fds');
  const count = asked + countListening(process.env, process.pid);
  for (let descriptor = 3; descriptor < 3 + count; descriptor++)
    if (!existsSync(`/proc/self/fd/${descriptor}`))
      failure(`--preserve-fds ${asked}: descriptor ${descriptor} is not open`);
  return count;
}

/**
 * Makes a container up to where its command would run (`awaitStart`) or runs.
 *
 *   directory ── lock ── state.json ── cgroup ── init ── state.json ─────── pid file
 *                        creating                        created, running
 *
 * Every cgroup is in state.json before it is made: if we are killed at any point, `delete` finds what is in it and removes it,
 * and so does the next create of the same id. Without a cgroup of its own an init that was made just before we were killed
 * is not found.
 */
export async function createContainer(
  runtime: Runtime,
  id: string,
  given: Given,
  how: Supervising,
): Promise<Creation> {
  const bundle = readBundle(given.text('bundle'), given.text('config'));
  const { spec } = bundle;
  refuseWithoutRights(spec);
  const leaves = how.awaitStart || how.detach;
  const supervision: CallerSupervision = {
    kind: 'caller',
    awaitStart: how.awaitStart,
    detach: how.detach,
    consoleSocket: readConsoleSocket(given, spec.process?.terminal === true, leaves),
    pidfdSocket: readPidfdSocket(given),
    preservedDescriptors: countPreserved(given),
    noPivot: given.flag('no-pivot'),
    noNewKeyring: given.flag('no-new-keyring'),
    awaitPlacement: false,
  };
  const held = await claim(runtime, id);
  try {
    return await makeInside(runtime, held, bundle, supervision, given.text('pid-file'));
  } catch (error) {
    await discard(runtime, held);
    throw error;
  }
}

/** Rights come with root, with its capabilities, or in a user namespace of the container's own. */
function refuseWithoutRights({ linux }: RuntimeSpec): void {
  if (process.geteuid?.() === 0 || linux?.namespaces?.some(({ type }) => type === 'user')) return;
  if (((readHostFacts().heldCapabilities ?? 0n) >> CAP_SYS_ADMIN) & 1n) return;
  failure(
    'a container without a user namespace needs root: add one to linux.namespaces, and mappings of ids',
  );
}

/** A new container's directory. What a killed create has left of this id goes first. */
async function claim(runtime: Runtime, id: string): Promise<HeldContainer> {
  const { store } = runtime;
  for (;;) {
    const fresh = store.claim(id);
    if (fresh !== undefined) return fresh;
    const record = store.read(id);
    if (record !== undefined && record.phase !== 'creating') break;
    if (store.isHeld(id)) break;
    const held = store.hold(id, 0);
    if (held === undefined) continue;
    if (held.record !== undefined && held.record.phase !== 'creating') {
      held.release();
      break;
    }
    runtime.log.debug(`removing what is left of an unfinished create of ${id}`);
    await destroy(runtime, held);
  }
  return failure(`container with given ID already exists: ${JSON.stringify(id)}`);
}

/** The source of a bind mount may be relative to the bundle; that of a file system is only a name. */
function atBundle(mount: RuntimeMount, bundle: string): RuntimeMount {
  const binds = mount.type === 'bind' || mount.options?.some((word) => word === 'bind' || word === 'rbind');
  return binds === true && mount.source ? { ...mount, source: resolve(bundle, mount.source) } : mount;
}

async function makeInside(
  runtime: Runtime,
  held: HeldContainer,
  bundle: Bundle,
  supervision: CallerSupervision,
  pidFile: string | undefined,
): Promise<Creation> {
  const { spec } = bundle;
  const { store } = runtime;
  const id = held.directory.slice(held.directory.lastIndexOf('/') + 1);
  const rootfs = realRoot(bundle.rootfs);
  const annotations = spec.annotations ?? {};
  const rooted: RuntimeSpec = {
    ...spec,
    root: { ...spec.root, path: rootfs },
    ...(spec.mounts === undefined
      ? {}
      : { mounts: spec.mounts.map((mount) => atBundle(mount, bundle.path)) }),
    ...(spec.process === undefined
      ? {}
      : { process: withListening(withOurGroups(spec.process, annotations), process.env, process.pid) }),
  };
  const namespaces = planNamespaces(rooted, { user: false, network: false, hostMounts: true });
  const creating: ContainerRecord = {
    version: 1,
    id,
    phase: 'creating',
    pid: 0,
    startTicks: '0',
    ociVersion: spec.ociVersion,
    bundle: bundle.path,
    rootfs,
    created: new Date().toISOString(),
    ownerUid: process.geteuid?.() ?? 0,
    ...(spec.annotations === undefined ? {} : { annotations: spec.annotations }),
    namespaces: String(namespaces.own),
    ...hostMounts(rootfs, namespaces.own),
  };
  store.write(creating);
  store.writeConfig(id, bundle.text);
  const cgroup = await createCgroup({
    id,
    cgroupsPath: spec.linux?.cgroupsPath,
    manager: runtime.manager,
    resources: spec.linux?.resources,
    annotations,
    rootless: runtime.rootless,
    onPlan: (planned) => store.write({ ...creating, cgroup: planned }),
  });
  // Before a process is in it: whatever happens from here on, it can be found, killed and removed.
  store.write({ ...creating, cgroup });

  const { native } = runtime;
  const plan = compileContainer(
    {
      spec: rooted,
      lowerdirs: [],
      writable: undefined,
      userNamespace: undefined,
      networkNamespace: undefined,
      cgroups: cgroupHandles(cgroup),
      directory: held.directory,
      state: {
        ociVersion: spec.ociVersion,
        id,
        bundle: bundle.path,
        ...(spec.annotations === undefined ? {} : { annotations }),
      },
      supervision,
      seccomp: compileSeccomp(runtime, spec),
      warn: (sentence) => runtime.log.warn(sentence),
    },
    readHostFacts(),
  );
  const result = await new DirectLauncher(native).launch({
    plan,
    directory: held.directory,
    label: id,
    preservedDescriptors: supervision.preservedDescriptors,
    timeoutMs: launchTimeoutMs,
  });
  if (!result.ok) failure(startWords(result.failure, spec));
  await scopeJoined(cgroup);
  const { process: started } = result;
  const record: ContainerRecord = {
    ...creating,
    cgroup,
    phase: supervision.awaitStart ? 'created' : 'running',
    pid: started.pid,
    startTicks: String(started.startTicks),
  };
  store.write(record);
  writePidFile(pidFile, started.pid);
  return { held: { ...held, record }, record, spec, process: started };
}

export function compileSeccomp(runtime: Runtime, spec: RuntimeSpec): CompiledSeccomp | undefined {
  const seccomp = spec.linux?.seccomp;
  if (seccomp === undefined) return undefined;
  const { native, store } = runtime;
  return new SeccompCompiler(native, new SeccompCache(store.seccompDirectory, native)).compile(seccomp);
}

/** podman's `--group-add keep-groups`: the process has our supplementary groups besides its own. */
function withOurGroups(own: RuntimeProcess, annotations: Readonly<Record<string, string>>): RuntimeProcess {
  if (annotations['run.oci.keep_original_groups'] !== '1') return own;
  const ours = process.getgroups?.() ?? [];
  const additionalGids = [...new Set([...(own.user.additionalGids ?? []), ...ours])];
  return { ...own, user: { ...own.user, additionalGids } };
}

function realRoot(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    return failure(`cannot open root file system: ${messageOf(error)}`);
  }
}

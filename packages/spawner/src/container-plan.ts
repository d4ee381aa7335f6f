import type { RuntimeLinux, RuntimeMount, RuntimeSpec } from '@gantry/oci';
import { planCgroupMounts, type Hierarchy } from './cgroup-mounts.js';
import { parseMountOptions, propagationNamed, type MountOptions } from './mount-options.js';
import { writeKernelSettings } from './kernel-settings.js';
import { mountFlag, planFlag, planTag, PlanWriter } from './plan-format.js';
import { type ProcessHost, writeProcess } from './process-plan.js';
import { refuse, withoutNul } from './refusal.js';
import type { PlannedSeccomp } from './seccomp.js';

/** A kernel object by name and number; the shim opens the path and compares. */
export interface Handle {
  readonly path: string;
  readonly device: number;
  readonly inode: number;
}

/** Everything one start is made of besides the spec. */
export interface ContainerInput {
  readonly spec: RuntimeSpec;
  /** Top first. */
  readonly lowerdirs: readonly Handle[];
  readonly writable: Handle | undefined;
  readonly userNamespace: Handle | undefined;
  readonly networkNamespace: Handle | undefined;
  readonly cgroups: readonly Handle[];
  readonly shimCgroups: readonly Handle[];
  readonly log:
    { readonly path: string; readonly maxSizeBytes: number; readonly maxFiles: number } | undefined;
  readonly openStdin: boolean;
  readonly stdinOnce: boolean;
  readonly holdOutput: boolean;
  /** The container's runtime directory. */
  readonly directory: string;
  readonly attempt: number;
  /** `linux.seccomp`, compiled. */
  readonly seccomp: PlannedSeccomp | undefined;
  /** Told what is left out without failing the start. */
  readonly warn?: (sentence: string) => void;
}

/** What the plan depends on of this machine. */
export interface HostFacts extends ProcessHost {
  readonly hierarchies: readonly Hierarchy[];
  /** Path of the node that the host has for this device. */
  readonly findDevice: (type: 'c' | 'b', major: number, minor: number) => string | undefined;
  /** The network namespace at this path is the one that Gantry itself is in. */
  readonly isOwnNetwork?: (path: string) => boolean;
}

/** Bits of clone(2). */
export const namespaceFlag = Object.freeze({
  time: 0x80n,
  mount: 0x20000n,
  cgroup: 0x2000000n,
  uts: 0x4000000n,
  ipc: 0x8000000n,
  user: 0x10000000n,
  pid: 0x20000000n,
  network: 0x40000000n,
});

const MOST_LAYERS = 256;
const PRIVATE = propagationNamed('private') ?? 0n;

const DEFAULT_DEVICES: readonly (readonly [string, number, number])[] = [
  ['/dev/null', 1, 3],
  ['/dev/zero', 1, 5],
  ['/dev/full', 1, 7],
  ['/dev/random', 1, 8],
  ['/dev/urandom', 1, 9],
  ['/dev/tty', 5, 0],
];

const LINKS: readonly (readonly [string, string])[] = [
  ['/proc/self/fd', '/dev/fd'],
  ['/proc/self/fd/0', '/dev/stdin'],
  ['/proc/self/fd/1', '/dev/stdout'],
  ['/proc/self/fd/2', '/dev/stderr'],
  ['pts/ptmx', '/dev/ptmx'],
];

function isPresent(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

function refuseUnsupported(spec: RuntimeSpec, host: HostFacts): void {
  for (const [kind, hooks] of Object.entries(spec.hooks ?? {}))
    if (isPresent(hooks)) refuse(`hooks.${kind} is not supported`);
  if (isPresent(spec.linux?.intelRdt)) refuse('linux.intelRdt is not supported');
  if (isPresent(spec.linux?.mountLabel) && host.modules?.selinux !== true)
    refuse(
      `linux.mountLabel is ${JSON.stringify(spec.linux?.mountLabel)}, but the kernel runs without SELinux`,
    );
  if (spec.linux?.seccomp?.listenerPath) refuse('linux.seccomp.listenerPath is not supported');
}

/** Namespaces that init is cloned into, and all that the container has apart from the host's (for exec to join). */
export function planNamespaces(input: ContainerInput): { readonly created: bigint; readonly own: bigint } {
  const types = input.spec.linux?.namespaces ?? [];
  let created = 0n;
  let own = 0n;
  for (const { type, path } of types) {
    if (!Object.hasOwn(namespaceFlag, type))
      refuse(`linux.namespaces has ${JSON.stringify(type)}, which is not a namespace`);
    const flag = namespaceFlag[type];
    if ((own & flag) !== 0n) refuse(`linux.namespaces has ${type} twice`);
    own |= flag;
    const given =
      type === 'user' ? input.userNamespace : type === 'network' ? input.networkNamespace : undefined;
    if (given !== undefined) continue;
    if (path !== undefined && path !== '')
      refuse(`linux.namespaces joins ${type} by path, which is not supported`);
    if (type === 'user') refuse('linux.namespaces has user, but the request has no user namespace');
    created |= flag;
  }
  if ((own & namespaceFlag.mount) === 0n) refuse('linux.namespaces has no mount namespace');
  if ((own & namespaceFlag.user) === 0n && input.userNamespace !== undefined) own |= namespaceFlag.user;
  if ((own & namespaceFlag.network) === 0n && input.networkNamespace !== undefined)
    own |= namespaceFlag.network;
  if ((own & namespaceFlag.pid) === 0n)
    refuse('linux.namespaces has no pid namespace, and sharing one is not supported');
  return { created, own };
}

function writeHandle(plan: PlanWriter, tag: number, handle: Handle): void {
  plan.add(tag, (record) =>
    record.string(withoutNul(handle.path, 'handle')).u64(BigInt(handle.device)).u64(BigInt(handle.inode)),
  );
}

function writeFilesystem(
  plan: PlanWriter,
  mount: {
    type: string;
    source: string;
    target: string;
    attributes: bigint;
    parameters: MountOptions['parameters'];
    tolerated: boolean;
  },
): void {
  plan.add(planTag.mountFilesystem, (record) => {
    record.string(mount.type).string(mount.source).string(mount.target);
    record
      .u32(mount.tolerated ? mountFlag.tolerated : 0)
      .u64(mount.attributes)
      .u32(mount.parameters.length);
    for (const { key, value } of mount.parameters)
      record
        .u32(value === undefined ? 0 : 1)
        .string(withoutNul(key, 'mount option'))
        .string(withoutNul(value ?? '', 'mount option'));
  });
}

function writeBind(
  plan: PlanWriter,
  source: string,
  target: string,
  options: MountOptions,
  tolerated = false,
): void {
  const flags =
    (options.recursive ? mountFlag.recursive : 0) |
    (options.idmap ? mountFlag.idmap : 0) |
    (options.recursiveAttributes ? mountFlag.recursiveAttributes : 0) |
    (tolerated ? mountFlag.tolerated : 0);
  const propagation = options.propagation === 0n ? PRIVATE : options.propagation;
  plan.add(planTag.mountBind, (record) =>
    record.string(source).string(target).u32(flags).u64(options.set).u64(options.clear).u64(propagation),
  );
}

function writeCgroupMounts(
  plan: PlanWriter,
  input: ContainerInput,
  host: HostFacts,
  target: string,
  options: MountOptions,
): void {
  const paths = input.cgroups.map(({ path }) => path);
  const mounts = planCgroupMounts(paths, host.hierarchies, target);
  const single = mounts.length === 1;
  for (const { type, parameters, tolerated, target: at } of mounts) {
    // The directory that v1's hierarchies are mounted in is made read-only when they are.
    const attributes = type === 'tmpfs' && !single ? options.set & ~1n : options.set;
    writeFilesystem(plan, { type, source: 'cgroup', target: at, attributes, parameters, tolerated });
  }
  if (!single && (options.set & 1n) !== 0n) plan.add(planTag.readonly, (record) => record.string(target));
}

function writeMount(plan: PlanWriter, mount: RuntimeMount, input: ContainerInput, host: HostFacts): void {
  const target = withoutNul(mount.destination, 'mount destination');
  if (!target.startsWith('/')) refuse(`mount destination ${JSON.stringify(target)} is not absolute`);
  if (isPresent(mount.uidMappings) || isPresent(mount.gidMappings))
    refuse(`mount ${target} has id mappings of its own, which are not supported (use the option idmap)`);
  const options = parseMountOptions(mount.options ?? [], target);
  const source = withoutNul(mount.source ?? '', 'mount source');
  if (options.bind || mount.type === 'bind') {
    if (!source.startsWith('/'))
      refuse(`mount ${target} has source ${JSON.stringify(source)}, which is not absolute`);
    if (options.parameters[0] !== undefined)
      refuse(
        `mount ${target} has option ${JSON.stringify(options.parameters[0].key)}, which is not supported`,
      );
    if (options.propagation === propagationNamed('shared') && input.userNamespace !== undefined)
      refuse(`mount ${target} has shared propagation, which a user namespace does not allow`);
    writeBind(plan, source, target, options);
    return;
  }
  const type = withoutNul(mount.type ?? '', 'mount type');
  if (type === '' || type === 'none') refuse(`mount ${target} has no type`);
  if (options.idmap) refuse(`mount ${target} has option idmap, which is for bind mounts`);
  if (type === 'cgroup' || type === 'cgroup2') return writeCgroupMounts(plan, input, host, target, options);
  writeFilesystem(plan, {
    type,
    source,
    target,
    attributes: options.set,
    parameters: options.parameters,
    tolerated: false,
  });
}

/** Host nodes are bound: a user namespace cannot make device nodes that work, and elsewhere it comes to the same. */
function writeDevices(plan: PlanWriter, linux: RuntimeLinux, host: HostFacts): void {
  const plain = parseMountOptions(['nosuid', 'noexec'], '/dev');
  const done = new Set<string>();
  for (const device of linux.devices ?? []) {
    const path = withoutNul(device.path, 'device path');
    if (!path.startsWith('/')) refuse(`device path ${JSON.stringify(path)} is not absolute`);
    if (device.type !== 'c' && device.type !== 'u' && device.type !== 'b')
      refuse(`device ${path} is of type ${JSON.stringify(device.type)}, which is not supported`);
    const [major, minor] = [device.major ?? -1, device.minor ?? -1];
    const source =
      host.findDevice(device.type === 'b' ? 'b' : 'c', major, minor) ??
      refuse(`device ${path} (${device.type} ${major}:${minor}) is not on this host`);
    done.add(path);
    writeBind(plan, source, path, plain);
  }
  for (const [path] of DEFAULT_DEVICES) if (!done.has(path)) writeBind(plan, path, path, plain);
  for (const [target, path] of LINKS) plan.add(planTag.link, (record) => record.string(target).string(path));
}

function writeRoot(plan: PlanWriter, input: ContainerInput): void {
  if (input.lowerdirs.length > MOST_LAYERS)
    refuse(`the root file system has more than ${MOST_LAYERS} layers`);
  for (const layer of input.lowerdirs) writeHandle(plan, planTag.layer, layer);
  if (input.lowerdirs.length > 0) {
    if (input.writable !== undefined) writeHandle(plan, planTag.writable, input.writable);
    return;
  }
  const path = input.spec.root?.path ?? refuse('root is missing');
  if (!path.startsWith('/')) refuse(`root.path ${JSON.stringify(path)} is not absolute`);
  plan.add(planTag.rootDirectory, (record) => record.string(withoutNul(path, 'root.path')).u32(1));
}

/** Compiles a start into the flat plan that the shim and init carry out. Pure; throws SpecRefusal. */
export function compileContainer(input: ContainerInput, host: HostFacts): Buffer {
  const { spec } = input;
  const linux = spec.linux ?? {};
  refuseUnsupported(spec, host);
  const process = spec.process ?? refuse('process is missing');
  const namespaces = planNamespaces(input);
  const plan = new PlanWriter();
  plan
    .add(planTag.flags, (record) =>
      record.u32(
        (process.terminal === true ? planFlag.terminal : 0) |
          (input.openStdin ? planFlag.openStdin : 0) |
          (input.stdinOnce ? planFlag.stdinOnce : 0) |
          (input.holdOutput ? planFlag.holdOutput : 0) |
          (spec.root?.readonly === true ? planFlag.rootReadonly : 0) |
          (process.noNewPrivileges === true ? planFlag.noNewPrivileges : 0),
      ),
    )
    .add(planTag.directory, (record) => record.string(withoutNul(input.directory, 'runtime directory')))
    .add(planTag.attempt, (record) => record.u32(input.attempt))
    .add(planTag.newNamespaces, (record) => record.u64(namespaces.created));
  const { log } = input;
  if (log !== undefined && log.path !== '') {
    if (!log.path.startsWith('/')) refuse(`log.path ${JSON.stringify(log.path)} is not absolute`);
    if (!(log.maxFiles >= 1 && log.maxFiles <= 100))
      refuse(`log.max_files is ${log.maxFiles}, which is not from 1 to 100`);
    plan.add(planTag.log, (record) =>
      record.u64(BigInt(log.maxSizeBytes)).u32(log.maxFiles).string(withoutNul(log.path, 'log.path')),
    );
  }
  for (const handle of input.shimCgroups) writeHandle(plan, planTag.shimCgroup, handle);
  for (const handle of input.cgroups) writeHandle(plan, planTag.cgroup, handle);
  // Before the layers, which are id-mapped to it.
  if (input.userNamespace !== undefined) writeHandle(plan, planTag.userNamespace, input.userNamespace);
  if (input.networkNamespace !== undefined)
    writeHandle(plan, planTag.networkNamespace, input.networkNamespace);

  writeRoot(plan, input);
  const mounts = spec.mounts ?? [];
  for (const mount of mounts) writeMount(plan, mount, input, host);
  const ownDev = mounts.some(
    ({ destination, type, options }) =>
      destination === '/dev' &&
      (type === 'bind' || options?.some((option) => option === 'bind' || option === 'rbind')),
  );
  if (!ownDev) writeDevices(plan, linux, host);
  const networkPath = linux.namespaces?.find(({ type }) => type === 'network')?.path;
  writeKernelSettings(
    plan,
    spec,
    namespaces,
    input.networkNamespace === undefined && !!networkPath && host.isOwnNetwork?.(networkPath) === true,
  );
  // Last, over everything that was mounted before.
  for (const path of linux.readonlyPaths ?? [])
    plan.add(planTag.readonly, (record) => record.string(withoutNul(path, 'linux.readonlyPaths')));
  for (const path of linux.maskedPaths ?? [])
    plan.add(planTag.mask, (record) => record.string(withoutNul(path, 'linux.maskedPaths')));
  const { rootfsPropagation } = linux;
  if (rootfsPropagation !== undefined && rootfsPropagation !== '') {
    const propagation =
      propagationNamed(rootfsPropagation) ??
      refuse(`linux.rootfsPropagation is ${JSON.stringify(rootfsPropagation)}, which is not known`);
    if (propagation === propagationNamed('shared')) refuse('linux.rootfsPropagation shared is not supported');
    // Private already.
    if (propagation !== PRIVATE) plan.add(planTag.rootPropagation, (record) => record.u64(propagation));
  }
  writeProcess(plan, process, input.seccomp, { domain: linux, host, warn: input.warn });
  return plan.finish();
}

import type { RuntimeSpec } from '@gantry/oci';
import type { Hierarchy } from './cgroup-mounts.js';
import { type Handle, writeHandle } from './handle.js';
import { writeKernelSettings } from './kernel-settings.js';
import { writeMounts } from './mount-plan.js';
import { planFlag, planTag, PlanWriter } from './plan-format.js';
import { type ProcessHost, writeProcess } from './process-plan.js';
import { isPresent, refuse, withoutNul } from './refusal.js';
import { writeRoot, writeRootRestrictions } from './root-plan.js';
import type { PlannedSeccomp } from './seccomp.js';

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
  writeMounts(plan, input, host);
  const networkPath = linux.namespaces?.find(({ type }) => type === 'network')?.path;
  writeKernelSettings(
    plan,
    spec,
    namespaces,
    input.networkNamespace === undefined && !!networkPath && host.isOwnNetwork?.(networkPath) === true,
  );
  // Last, over everything that was mounted before.
  writeRootRestrictions(plan, linux);
  writeProcess(plan, process, input.seccomp, { domain: linux, host, warn: input.warn });
  return plan.finish();
}

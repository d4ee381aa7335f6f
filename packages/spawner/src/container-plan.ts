import type { RuntimeProcess, RuntimeSpec } from '@gantry/oci';
import type { Hierarchy } from './cgroup-mounts.js';
import { type Handle, writeHandle } from './handle.js';
import { writeKernelSettings } from './kernel-settings.js';
import { writeMounts } from './mount-plan.js';
import { planFlag, planTag, PlanWriter } from './plan-format.js';
import { type ProcessHost, writeProcess } from './process-plan.js';
import { isPresent, refuse } from './refusal.js';
import { writeRoot, writeRootRestrictions } from './root-plan.js';
import { type HookState, writeHooks } from './hook-plan.js';
import { planNamespaces, writeNamespaces } from './namespace-plan.js';
import { type Supervision, supervisionFlags, writeSupervision } from './supervision.js';
import type { PlannedSeccomp } from './seccomp.js';
import { writeSeccompListener } from './seccomp-state.js';

/** Everything one start is made of besides the spec. */
export interface ContainerInput {
  readonly spec: RuntimeSpec;
  /** Top first. */
  readonly lowerdirs: readonly Handle[];
  readonly writable: Handle | undefined;
  readonly userNamespace: Handle | undefined;
  readonly networkNamespace: Handle | undefined;
  readonly cgroups: readonly Handle[];
  /** The container's runtime directory. */
  readonly directory: string;
  /** For hooks. */
  readonly state: HookState;
  readonly supervision: Supervision;
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

function refuseUnsupported(spec: RuntimeSpec, host: HostFacts): void {
  if (isPresent(spec.linux?.intelRdt)) refuse('linux.intelRdt is not supported');
  if (isPresent(spec.linux?.mountLabel) && host.modules?.selinux !== true)
    refuse(
      `linux.mountLabel is ${JSON.stringify(spec.linux?.mountLabel)}, but the kernel runs without SELinux`,
    );
}

/** The runtime-spec wants a process no earlier than at the start: the container is made with the least of all processes. */
const noProcess: RuntimeProcess = { cwd: '/', user: { uid: 0, gid: 0 }, noNewPrivileges: true };

function mayLackProcess(supervision: Supervision): boolean {
  return supervision.kind === 'caller' && supervision.awaitStart;
}

/** Compiles a start into the flat plan that the shim and init carry out. Pure; throws SpecRefusal. */
export function compileContainer(input: ContainerInput, host: HostFacts): Buffer {
  const { spec } = input;
  const linux = spec.linux ?? {};
  refuseUnsupported(spec, host);
  const isAbsent = spec.process === undefined;
  if (isAbsent && !mayLackProcess(input.supervision)) refuse('process is missing');
  const process = spec.process ?? noProcess;
  const namespaces = planNamespaces(spec, {
    user: input.userNamespace !== undefined,
    network: input.networkNamespace !== undefined,
    // Whoever calls takes the mounts away in the end; the service mounts nothing on the host.
    hostMounts: input.supervision.kind === 'caller' && input.lowerdirs.length === 0,
  });
  const plan = new PlanWriter();
  plan.add(planTag.flags, (record) =>
    record.u32(
      supervisionFlags(input.supervision) |
        (process.terminal === true ? planFlag.terminal : 0) |
        (spec.root?.readonly === true ? planFlag.rootReadonly : 0) |
        (process.noNewPrivileges === true ? planFlag.noNewPrivileges : 0),
    ),
  );
  writeSupervision(plan, input.supervision, input.directory);
  for (const handle of input.cgroups) writeHandle(plan, planTag.cgroup, handle);
  // Before the layers, which are id-mapped to it.
  if (input.userNamespace !== undefined) writeHandle(plan, planTag.userNamespace, input.userNamespace);
  if (input.networkNamespace !== undefined)
    writeHandle(plan, planTag.networkNamespace, input.networkNamespace);
  writeNamespaces(plan, spec, namespaces);

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
  writeHooks(plan, spec.hooks, input.state);
  if (input.seccomp?.listener !== undefined) writeSeccompListener(plan, input.seccomp.listener, input.state);
  writeProcess(plan, process, input.seccomp, { domain: linux, host, warn: input.warn, isAbsent });
  return plan.finish();
}

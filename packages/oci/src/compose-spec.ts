import { processCapabilities } from './capabilities.js';
import { DEFAULT_DEVICES, DEFAULT_DEVICE_RULES } from './devices.js';
import { defaultMounts, MASKED_PATHS, mergeMounts, READONLY_PATHS } from './default-mounts.js';
import type {
  NamespaceType,
  RuntimeDevice,
  RuntimeDeviceCgroup,
  RuntimeMount,
  RuntimeProcess,
  RuntimeRlimit,
  RuntimeSeccomp,
  RuntimeSpec,
} from './runtime-spec.js';
import type { ResolvedUser } from './users.js';

export const OCI_VERSION = '1.2.0';

/** Everything a first process or an exec is made of, already resolved and checked. */
export interface ProcessFacts {
  readonly args: readonly string[];
  /** Complete, see processEnvironment. */
  readonly environment: readonly string[];
  readonly workingDirectory: string;
  readonly user: ResolvedUser;
  readonly terminal: boolean;
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly rlimits: readonly RuntimeRlimit[];
  readonly oomScoreAdjust: number | undefined;
}

/** Everything a container is made of, already resolved and checked. */
export interface ContainerFacts {
  readonly process: ProcessFacts;
  readonly hostname: string;
  readonly readOnlyRootfs: boolean;
  readonly privileged: boolean;
  readonly shmSizeBytes: number;
  /** The user's mounts, volumes and generated files, in the order asked for. */
  readonly mounts: readonly RuntimeMount[];
  readonly devices: readonly RuntimeDevice[];
  readonly deviceRules: readonly RuntimeDeviceCgroup[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly seccomp: RuntimeSeccomp | undefined;
  readonly userNamespace: boolean;
  readonly networkNamespace: boolean;
  /** False with `systempaths=unconfined`. */
  readonly hideSystemPaths: boolean;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The `process` object of a spec or an exec. */
export function composeProcess(facts: ProcessFacts): RuntimeProcess {
  return {
    terminal: facts.terminal,
    user: {
      uid: facts.user.uid,
      gid: facts.user.gid,
      ...(facts.user.additionalGids.length > 0 ? { additionalGids: facts.user.additionalGids } : {}),
    },
    args: facts.args,
    env: facts.environment,
    cwd: facts.workingDirectory,
    capabilities: processCapabilities(facts.capabilities, facts.user.uid),
    rlimits: facts.rlimits,
    noNewPrivileges: facts.noNewPrivileges,
    ...(facts.oomScoreAdjust === undefined ? {} : { oomScoreAdj: facts.oomScoreAdjust }),
  };
}

/** Cgroup rules of a container's devices: all for a privileged one. */
export function deviceRules(
  privileged: boolean,
  own: readonly RuntimeDeviceCgroup[],
): readonly RuntimeDeviceCgroup[] {
  return privileged ? [{ allow: true, access: 'rwm' }] : [...DEFAULT_DEVICE_RULES, ...own];
}

/** The runtime-spec of one start. Pure: the same facts give the same spec. */
export function composeRuntimeSpec(facts: ContainerFacts): RuntimeSpec {
  const hide = facts.hideSystemPaths && !facts.privileged;
  const namespaces: readonly NamespaceType[] = [
    ...(facts.userNamespace ? (['user'] as const) : []),
    ...(facts.networkNamespace ? (['network'] as const) : []),
    'pid',
    'mount',
    'ipc',
    'uts',
    'cgroup',
    'time',
  ];
  return {
    ociVersion: OCI_VERSION,
    process: composeProcess(facts.process),
    root: { path: 'rootfs', readonly: facts.readOnlyRootfs },
    hostname: facts.hostname,
    mounts: mergeMounts(
      defaultMounts({
        privileged: facts.privileged,
        shmSizeBytes: facts.shmSizeBytes,
        foreignNetwork: facts.userNamespace && !facts.networkNamespace,
      }),
      facts.mounts,
    ),
    annotations: facts.annotations,
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      devices: [...DEFAULT_DEVICES, ...facts.devices],
      resources: { devices: deviceRules(facts.privileged, facts.deviceRules) },
      sysctl: facts.sysctls,
      ...(facts.seccomp === undefined ? {} : { seccomp: facts.seccomp }),
      maskedPaths: hide ? MASKED_PATHS : [],
      readonlyPaths: hide ? READONLY_PATHS : [],
      rootfsPropagation: 'private',
    },
  };
}

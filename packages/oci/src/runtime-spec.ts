import type { WideInteger } from './lossless-json.js';

/**
 * The Linux parts of the OCI runtime-spec (1.2/1.3) `config.json`, as far as Gantry writes or reads them.
 *
 * Property names are the specification's own. Everything is optional where the specification says so.
 * @see https://github.com/opencontainers/runtime-spec/blob/main/config.md
 * @see https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md
 */
export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process?: RuntimeProcess;
  readonly root?: RuntimeRoot;
  readonly hostname?: string;
  readonly domainname?: string;
  /** Mounted in order, after the root. */
  readonly mounts?: readonly RuntimeMount[];
  readonly hooks?: RuntimeHooks;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly linux?: RuntimeLinux;
}

export interface RuntimeRoot {
  readonly path: string;
  readonly readonly?: boolean;
}

/** The process a container runs, and the whole of what an exec is described by. */
export interface RuntimeProcess {
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly user: RuntimeUser;
  /** At least one; the first is looked up in the container's PATH. */
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Absolute path inside the container. */
  readonly cwd: string;
  readonly capabilities?: RuntimeCapabilities;
  readonly rlimits?: readonly RuntimeRlimit[];
  readonly noNewPrivileges?: boolean;
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
  readonly oomScoreAdj?: number;
  readonly scheduler?: RuntimeScheduler;
  readonly ioPriority?: { readonly class: string; readonly priority: number };
  /** CPUs (`0-3,7`) of a further process before and after it joins the cgroups; means nothing to the first one. */
  readonly execCPUAffinity?: { readonly initial?: string; readonly final?: string };
}

export interface RuntimeUser {
  /** Ids as seen inside the container. */
  readonly uid: number;
  readonly gid: number;
  /** Permission bits masked out; absent means the runtime's own choice (0022). */
  readonly umask?: number;
  readonly additionalGids?: readonly number[];
}

/** Names with `CAP_`. */
export interface RuntimeCapabilities {
  readonly bounding?: readonly string[];
  readonly effective?: readonly string[];
  readonly inheritable?: readonly string[];
  readonly permitted?: readonly string[];
  readonly ambient?: readonly string[];
}

export interface RuntimeRlimit {
  /** `RLIMIT_NOFILE` and the like. */
  readonly type: string;
  /** Unlimited is 18446744073709551615, which JavaScript's numbers would round to 2^64. */
  readonly soft: WideInteger;
  readonly hard: WideInteger;
}

export interface RuntimeScheduler {
  /** `SCHED_OTHER`, `SCHED_FIFO`, ... */
  readonly policy: string;
  /** -20 to 19; absent means 0. */
  readonly nice?: number;
  /** Of `SCHED_FIFO` and `SCHED_RR`: 1 to 99. */
  readonly priority?: number;
  /** `SCHED_FLAG_RESET_ON_FORK` and the like. */
  readonly flags?: readonly string[];
  /** Of `SCHED_DEADLINE`, these three: nanoseconds. */
  readonly runtime?: WideInteger;
  readonly deadline?: WideInteger;
  readonly period?: WideInteger;
}

/** NUMA memory policy, set_mempolicy(2) (1.3). */
export interface RuntimeMemoryPolicy {
  /** `MPOL_BIND` and the like. */
  readonly mode: string;
  /** `0-3,7`. */
  readonly nodes?: string;
  /** `MPOL_F_STATIC_NODES` and the like. */
  readonly flags?: readonly string[];
}

/** By how much a clock of the container is ahead of the host's. */
export interface RuntimeTimeOffset {
  /** May be below 0. */
  readonly secs?: WideInteger;
  readonly nanosecs?: number;
}

export interface RuntimeMount {
  /** Absolute path inside the container. */
  readonly destination: string;
  /** File system type, or `bind`/`none` with a bind option. */
  readonly type?: string;
  /** Device, or for bind mounts the host path. */
  readonly source?: string;
  /** mount(8) words; `idmap` (id-map to the container's user namespace), `bind`, `rbind`, `ro`, `rprivate`, ... */
  readonly options?: readonly string[];
  readonly uidMappings?: readonly RuntimeIdMapping[];
  readonly gidMappings?: readonly RuntimeIdMapping[];
}

export interface RuntimeHook {
  /** Absolute path on the host (or in the container for `startContainer`). */
  readonly path: string;
  /** With argv[0]. */
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Seconds, above 0. */
  readonly timeout?: number;
}

export interface RuntimeHooks {
  readonly prestart?: readonly RuntimeHook[];
  readonly createRuntime?: readonly RuntimeHook[];
  readonly createContainer?: readonly RuntimeHook[];
  readonly startContainer?: readonly RuntimeHook[];
  readonly poststart?: readonly RuntimeHook[];
  readonly poststop?: readonly RuntimeHook[];
}

export interface RuntimeIdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export type NamespaceType = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time';

export interface RuntimeNamespace {
  readonly type: NamespaceType;
  /** Join this one; absent means a new one. */
  readonly path?: string;
}

export interface RuntimeDevice {
  /** `c`, `u`, `b` or `p`. */
  readonly type: string;
  readonly path: string;
  readonly major?: number;
  readonly minor?: number;
  /** Permission bits. */
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface RuntimeDeviceCgroup {
  readonly allow: boolean;
  /** `a`, `c` or `b`; absent means all. */
  readonly type?: string;
  /** Absent means all. */
  readonly major?: number;
  readonly minor?: number;
  /** Some of `rwm`. */
  readonly access?: string;
}

export interface RuntimeResources {
  readonly devices?: readonly RuntimeDeviceCgroup[];
  readonly memory?: RuntimeMemory;
  readonly cpu?: RuntimeCpu;
  readonly pids?: { readonly limit?: WideInteger };
  readonly blockIO?: RuntimeBlockIo;
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: WideInteger }[];
  readonly network?: {
    readonly classID?: number;
    readonly priorities?: readonly { readonly name: string; readonly priority: number }[];
  };
  /** By the name of the RDMA device. */
  readonly rdma?: Readonly<Record<string, { readonly hcaHandles?: number; readonly hcaObjects?: number }>>;
  /** cgroup v2 file name to value. */
  readonly unified?: Readonly<Record<string, string>>;
}

/** A block device by its numbers. */
export interface RuntimeThrottle {
  readonly major: number;
  readonly minor: number;
  /** Bytes or operations in a second. */
  readonly rate: WideInteger;
}

export interface RuntimeBlockIo {
  readonly weight?: number;
  readonly leafWeight?: number;
  readonly weightDevice?: readonly {
    readonly major: number;
    readonly minor: number;
    readonly weight?: number;
    readonly leafWeight?: number;
  }[];
  readonly throttleReadBpsDevice?: readonly RuntimeThrottle[];
  readonly throttleWriteBpsDevice?: readonly RuntimeThrottle[];
  readonly throttleReadIOPSDevice?: readonly RuntimeThrottle[];
  readonly throttleWriteIOPSDevice?: readonly RuntimeThrottle[];
}

export interface RuntimeMemory {
  readonly limit?: WideInteger;
  readonly reservation?: WideInteger;
  readonly swap?: WideInteger;
  readonly kernel?: WideInteger;
  readonly kernelTCP?: WideInteger;
  readonly swappiness?: WideInteger;
  readonly disableOOMKiller?: boolean;
  readonly useHierarchy?: boolean;
  readonly checkBeforeUpdate?: boolean;
}

export interface RuntimeCpu {
  readonly shares?: WideInteger;
  readonly quota?: WideInteger;
  readonly burst?: WideInteger;
  readonly period?: WideInteger;
  readonly realtimeRuntime?: WideInteger;
  readonly realtimePeriod?: WideInteger;
  readonly cpus?: string;
  readonly mems?: string;
  readonly idle?: number;
}

export type SeccompAction =
  | 'SCMP_ACT_KILL'
  | 'SCMP_ACT_KILL_PROCESS'
  | 'SCMP_ACT_KILL_THREAD'
  | 'SCMP_ACT_TRAP'
  | 'SCMP_ACT_ERRNO'
  | 'SCMP_ACT_TRACE'
  | 'SCMP_ACT_ALLOW'
  | 'SCMP_ACT_LOG'
  | 'SCMP_ACT_NOTIFY';

export type SeccompOperator =
  | 'SCMP_CMP_NE'
  | 'SCMP_CMP_LT'
  | 'SCMP_CMP_LE'
  | 'SCMP_CMP_EQ'
  | 'SCMP_CMP_GE'
  | 'SCMP_CMP_GT'
  | 'SCMP_CMP_MASKED_EQ';

export interface SeccompArgument {
  /** 0 to 5. */
  readonly index: number;
  /** For `SCMP_CMP_MASKED_EQ` the mask. */
  readonly value: WideInteger;
  /** For `SCMP_CMP_MASKED_EQ` what the masked argument is compared with. */
  readonly valueTwo?: WideInteger;
  readonly op: SeccompOperator;
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: SeccompAction;
  readonly errnoRet?: number;
  /** All must hold. */
  readonly args?: readonly SeccompArgument[];
}

export interface RuntimeSeccomp {
  readonly defaultAction: SeccompAction;
  readonly defaultErrnoRet?: number;
  /** `SCMP_ARCH_X86_64` and the like; the native one is always included. */
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls?: readonly SeccompRule[];
}

export interface RuntimeLinux {
  readonly uidMappings?: readonly RuntimeIdMapping[];
  readonly gidMappings?: readonly RuntimeIdMapping[];
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly resources?: RuntimeResources;
  readonly cgroupsPath?: string;
  readonly namespaces?: readonly RuntimeNamespace[];
  readonly devices?: readonly RuntimeDevice[];
  /** Devices moved into the container's network namespace (1.3). */
  readonly netDevices?: Readonly<Record<string, { readonly name?: string }>>;
  readonly seccomp?: RuntimeSeccomp;
  /** `private`, `shared`, `slave`, `unbindable`. */
  readonly rootfsPropagation?: string;
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly mountLabel?: string;
  readonly intelRdt?: Readonly<Record<string, unknown>>;
  readonly memoryPolicy?: RuntimeMemoryPolicy;
  /** `LINUX` or `LINUX32`. */
  readonly personality?: { readonly domain: string; readonly flags?: readonly string[] };
  /** By clock: `monotonic`, `boottime`. */
  readonly timeOffsets?: Readonly<Record<string, RuntimeTimeOffset>>;
}

/** What `state` answers and hooks receive on stdin. */
export interface RuntimeState {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: 'creating' | 'created' | 'running' | 'stopped';
  readonly pid?: number;
  readonly bundle: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

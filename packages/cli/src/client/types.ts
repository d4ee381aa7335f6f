/** What the api takes and answers, as far as the command line uses it; `/v1/openapi.json` is the whole of it. */
export interface PortBinding {
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
}

export interface MountSpec {
  readonly type: 'bind' | 'volume' | 'tmpfs';
  readonly source?: string;
  readonly target: string;
  readonly readOnly?: boolean;
  readonly tmpfsSizeBytes?: number;
  readonly tmpfsMode?: number;
  readonly createSource?: boolean;
  readonly propagation?: string;
}

export interface DeviceSpec {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly permissions: string;
}

export interface UlimitSpec {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

export interface RestartPolicy {
  readonly name: string;
  readonly maximumRetryCount: number;
}

export interface HealthCheck {
  test?: string[];
  intervalMs?: number;
  timeoutMs?: number;
  startPeriodMs?: number;
  retries?: number;
  startIntervalMs?: number;
}

export interface LogConfig {
  driver?: string;
  maxSizeBytes?: number;
  maxFiles?: number;
}

export interface Resources {
  memoryLimitBytes?: number;
  memorySwapLimitBytes?: number;
  memoryReservationBytes?: number;
  cpuQuotaUs?: number;
  cpuPeriodUs?: number;
  cpuShares?: number;
  cpusetCpus?: string;
  cpusetMems?: string;
  pidsLimit?: number;
  oomKillDisable?: boolean;
}

export interface ContainerSpec {
  image: string;
  entrypoint?: string[];
  entrypointSet?: boolean;
  command?: string[];
  environment?: string[];
  workingDirectory?: string;
  user?: string;
  hostname?: string;
  terminal?: boolean;
  openStdin?: boolean;
  stdinOnce?: boolean;
  labels?: Record<string, string>;
  mounts?: MountSpec[];
  volumesFrom?: string[];
  ports?: PortBinding[];
  resources?: Resources;
  readOnlyRootfs?: boolean;
  capabilitiesAdd?: string[];
  capabilitiesDrop?: string[];
  privileged?: boolean;
  securityOptions?: string[];
  devices?: DeviceSpec[];
  ulimits?: UlimitSpec[];
  sysctls?: Record<string, string>;
  shmSizeBytes?: number;
  init?: boolean;
  userNamespace?: string;
  network?: string;
  extraHosts?: string[];
  dnsServers?: string[];
  dnsSearch?: string[];
  dnsOptions?: string[];
  restartPolicy?: RestartPolicy;
  stopSignal?: string;
  stopTimeoutSeconds?: number;
  healthCheck?: HealthCheck;
  log?: LogConfig;
  autoRemove?: boolean;
  oomScoreAdjust?: number;
  groups?: string[];
}

export interface ContainerSummary {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly imageId: string;
  readonly command: string;
  readonly createdUnixMs: number;
  readonly state: string;
  readonly status: string;
  readonly ports: readonly PortBinding[];
  readonly labels: Readonly<Record<string, string>>;
  readonly ipAddress: string;
  readonly mounts: readonly string[];
  readonly network: string;
  readonly writableBytes: number;
}

export interface Image {
  readonly id: string;
  readonly references: readonly string[];
  readonly digests: readonly string[];
  readonly platform: string;
  readonly createdUnixMs: number;
  readonly sizeBytes: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly diffIds: readonly string[];
  readonly containerCount: number;
}

/** A line of a pull or load. */
export interface ProgressLine {
  readonly layer?: {
    readonly digest: string;
    readonly status: string;
    readonly currentBytes: number;
    readonly totalBytes: number;
  };
  readonly image?: Image;
}

export interface Volume {
  readonly name: string;
  readonly mountpoint: string;
  readonly createdUnixMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly anonymous: boolean;
  readonly containerIds: readonly string[];
  readonly sizeBytes: number;
}

export interface WaitLine {
  readonly registered?: boolean;
  readonly exitCode?: number;
  readonly message?: string;
}

export interface NodeEvent {
  readonly timeUnixNanos: number;
  readonly type: string;
  readonly action: string;
  readonly id: string;
  readonly attributes: readonly { readonly key: string; readonly value: string }[];
}

export interface ContainerStats {
  readonly id: string;
  readonly name: string;
  readonly cpuPercent: number;
  readonly usage?: {
    readonly memoryUsageBytes: number;
    readonly memoryWorkingSetBytes: number;
    readonly pidsCurrent: number;
    readonly blockDevices: readonly { readonly readBytes: number; readonly writeBytes: number }[];
  };
  readonly interfaces: readonly { readonly rxBytes: number; readonly txBytes: number }[];
  readonly memoryLimitBytes: number;
}

export interface NodeInfo {
  readonly nodeId?: string;
  readonly hostname?: string;
  readonly kernel?: string;
  readonly architecture?: string;
  readonly operatingSystem?: string;
  readonly cpus?: number;
  readonly memoryBytes?: number;
  readonly containersRunning?: number;
  readonly containersPaused?: number;
  readonly containersStopped?: number;
  readonly version?: string;
  readonly services: readonly {
    readonly name: string;
    readonly version: string;
    readonly metricsUrl: string;
    readonly pid: number;
  }[];
  readonly network?: { readonly bridge: string; readonly subnet: string };
  readonly cgroup?: { readonly version: number; readonly controllers: readonly string[] };
  readonly spawner?: { readonly shimVersion: string; readonly namespaces: readonly string[] };
  readonly missing: readonly { readonly service: string; readonly reason: string }[];
  readonly untold: readonly { readonly service: string; readonly reason: string }[];
}

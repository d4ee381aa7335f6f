import type { cgroup, network, node } from '@gantry/protocol';
import {
  closed,
  flag,
  int64,
  list,
  message,
  oneOf,
  text,
  textMap,
  texts,
  uint32,
  uint64,
  type Schema,
} from './schema.js';

export const containerParams = closed({ container: text('id, unique id prefix or name', { minLength: 1 }) });

export const portBindingSchema = message<network.PortBinding>(
  {
    hostIp: text('host address; empty for all IPv4 addresses'),
    hostPort: uint32('0 asks for a free one', { maximum: 65535 }),
    containerPort: uint32('port inside', { minimum: 1, maximum: 65535 }),
    protocol: oneOf(['', 'tcp', 'udp'], 'empty means tcp'),
  },
  ['containerPort'],
);

const mountSchema = message<node.MountSpec>(
  {
    type: oneOf(['bind', 'volume', 'tmpfs'], 'kind of mount'),
    source: text('host path or volume name'),
    target: text('absolute path inside', { pattern: '^/' }),
    readOnly: flag('no writing'),
    tmpfsSizeBytes: uint64("0 means the kernel's default"),
    tmpfsMode: uint32('permission bits; 0 means 01777', { maximum: 0o7777 }),
    createSource: flag('make the source directory of a bind when it is absent'),
    propagation: oneOf(
      ['', 'rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave'],
      'bind propagation',
    ),
  },
  ['type', 'target'],
);

export const resourcesSchema = message<cgroup.Resources>({
  memoryLimitBytes: uint64('hard limit'),
  memorySwapLimitBytes: int64('memory plus swap; -1 means unlimited swap'),
  memoryReservationBytes: uint64('soft limit'),
  cpuQuotaUs: int64('CFS quota in microseconds a period'),
  cpuPeriodUs: uint64('CFS period in microseconds'),
  cpuShares: uint64('relative share, 2 to 262144'),
  cpusetCpus: text('"0-3,7"; empty means all'),
  cpusetMems: text('memory nodes'),
  pidsLimit: int64('tasks; -1 means unlimited'),
  oomKillDisable: flag('do not kill on memory exhaustion'),
});

export const restartPolicySchema = message<node.RestartPolicy>({
  name: oneOf(['', 'no', 'always', 'unless-stopped', 'on-failure'], 'policy'),
  maximumRetryCount: uint32('on-failure and always; 0 means no maximum'),
  delayMs: uint64('before each new start; absent means 100 ms, doubling to a minute'),
  windowMs: uint64('maximumRetryCount counts starts within this time; 0 means since the beginning'),
});

export const containerSpecSchema = message<node.ContainerSpec>(
  {
    image: text('reference, id or id prefix', { minLength: 1 }),
    entrypoint: texts("replaces the image's when entrypointSet"),
    entrypointSet: flag('use `entrypoint`, even when empty'),
    command: texts("replaces the image's command when not empty"),
    environment: texts('"NAME=value"'),
    workingDirectory: text('absolute path inside'),
    user: text('user[:group]'),
    hostname: text('name of the host inside'),
    terminal: flag('give the first process a terminal'),
    openStdin: flag('keep standard input open'),
    labels: textMap('labels'),
    mounts: list(mountSchema, 'mounts'),
    volumesFrom: texts('"NAME[:ro|rw]"'),
    ports: list(portBindingSchema, 'published ports'),
    resources: { ...resourcesSchema, description: 'limits' },
    readOnlyRootfs: flag('root file system cannot be written'),
    capabilitiesAdd: texts('with or without CAP_, or ALL'),
    capabilitiesDrop: texts('with or without CAP_, or ALL'),
    privileged: flag('no confinement'),
    securityOptions: texts('"no-new-privileges", "seccomp=...", "systempaths=unconfined"'),
    devices: list(
      message<node.DeviceSpec>(
        {
          hostPath: text('device on the host'),
          containerPath: text('path inside'),
          permissions: text('some of "rwm"', { pattern: '^[rwm]*$' }),
        },
        ['hostPath'],
      ),
      'devices',
    ),
    ulimits: list(
      message<node.UlimitSpec>(
        {
          name: text('"nofile", "nproc", ...'),
          soft: int64('-1 means unlimited'),
          hard: int64('-1 means unlimited'),
        },
        ['name', 'soft', 'hard'],
      ),
      'resource limits of processes',
    ),
    sysctls: textMap('namespaced kernel parameters'),
    shmSizeBytes: uint64('size of /dev/shm; 0 means 64 MiB'),
    init: flag('run a tiny init as pid 1'),
    userNamespace: oneOf(['', 'private', 'host'], 'user namespace'),
    network: text('"", "bridge", "none", "host" or "container:NAME"'),
    extraHosts: texts('"HOST:IP"'),
    dnsServers: texts('addresses of resolvers'),
    dnsSearch: texts('search domains'),
    dnsOptions: texts('resolver options'),
    restartPolicy: restartPolicySchema,
    stopSignal: text("name or number; empty means the image's or SIGTERM"),
    stopTimeoutSeconds: uint32('until SIGKILL; absent means 10'),
    healthCheck: message<node.HealthCheck>({
      test: texts('["NONE"], ["CMD", ...] or ["CMD-SHELL", "..."]'),
      intervalMs: uint64('milliseconds; 0 means the default'),
      timeoutMs: uint64('milliseconds; 0 means the default'),
      startPeriodMs: uint64('milliseconds'),
      retries: uint32('0 means the default'),
      startIntervalMs: uint64('milliseconds; 0 means the default'),
    }),
    log: message<node.LogConfig>({
      driver: oneOf(['', 'json-file', 'none'], 'where output goes'),
      maxSizeBytes: uint64('rotate at this size; absent means 10 MiB'),
      maxFiles: uint32('files kept; absent means 5', { minimum: 1 }),
    }),
    autoRemove: flag('remove the container and its anonymous volumes when it exits'),
    stdinOnce: flag('close standard input when the first attached client leaves'),
    oomScoreAdjust: { type: 'integer', minimum: -1000, maximum: 1000, description: 'oom_score_adj' },
    networkScope: text('name space of networkAliases; empty means none'),
    networkAliases: texts('names by which containers of networkScope find this one'),
    groups: texts('additional groups'),
  },
  ['image'],
  "what is to run; empty fields take the image's value or docker's default",
);

export const createContainerSchema = message<node.CreateContainerRequest>(
  {
    name: text('empty: a name is made up'),
    spec: containerSpecSchema,
    idempotencyKey: text("a second create with the same key answers with the first one's container"),
  },
  ['spec'],
);

export const updateContainerSchema = closed({
  resources: resourcesSchema,
  restartPolicy: restartPolicySchema,
});

export const stopSchema = closed({
  timeoutSeconds: uint32("seconds until SIGKILL; absent: the container's own"),
  signal: text("name or number; empty: the container's own"),
});

export const killSchema = closed({ signal: text('name or number; empty means SIGKILL') });

export const renameSchema = closed({ name: text('new name', { minLength: 1 }) }, ['name']);

export const resizeSchema = closed(
  { rows: uint32('rows', { maximum: 65535 }), columns: uint32('columns', { maximum: 65535 }) },
  ['rows', 'columns'],
);

export const createExecSchema: Schema = closed(
  {
    command: { ...texts('program and arguments') },
    environment: texts('"NAME=value"'),
    workingDirectory: text('absolute path inside'),
    user: text('user[:group]'),
    terminal: flag('give it a terminal'),
    openStdin: flag('keep standard input open'),
    privileged: flag('all capabilities'),
  },
  ['command'],
);

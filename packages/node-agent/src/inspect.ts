import { signalName } from '@gantry/oci';
import type { network } from '@gantry/protocol';
import type { Container } from './container.js';
import type { AgentContext } from './context.js';
import { hostnameOf } from './generated-files.js';
import type { Policy } from './lifecycle.js';
import { networkNames } from './record.js';
import { logPath } from './start-attempt.js';
import { capabilitiesOf } from './container-facts.js';

const NEVER = '0001-01-01T00:00:00Z';

function timeText(unixNanos: number): string {
  return unixNanos === 0 ? NEVER : new Date(unixNanos / 1e6).toISOString();
}

function portMap(
  ports: readonly network.PortBinding[],
): Record<string, { HostIp: string; HostPort: string }[]> {
  const map: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { hostIp, hostPort, containerPort, protocol } of ports)
    (map[`${containerPort}/${protocol || 'tcp'}`] ??= []).push({
      HostIp: hostIp === '' ? '0.0.0.0' : hostIp,
      HostPort: String(hostPort),
    });
  return map;
}

function stateOf(container: Container) {
  const { life, record } = container;
  const health = record.execution.healthCheck === undefined ? undefined : container.health?.state;
  return {
    Status: life.state,
    Running: life.state === 'running' || life.state === 'paused' || life.state === 'restarting',
    Paused: life.state === 'paused',
    Restarting: life.state === 'restarting',
    OOMKilled: life.oomKilled,
    Dead: life.state === 'dead',
    Pid: life.pid,
    ExitCode: life.exitCode,
    Error: life.error,
    StartedAt: timeText(life.startedUnixNanos),
    FinishedAt: timeText(life.finishedUnixNanos),
    ...(health === undefined
      ? {}
      : {
          Health: {
            Status: health.status,
            FailingStreak: health.failingStreak,
            Log: health.log.map((result) => ({
              Start: new Date(result.startUnixMs).toISOString(),
              End: new Date(result.endUnixMs).toISOString(),
              ExitCode: result.exitCode,
              Output: result.output,
            })),
          },
        }),
  };
}

/** Docker's two fields, and ours where they are set. */
function restartPolicyOf({ name, maximumRetryCount, delayMs, windowMs }: Policy) {
  return {
    Name: name,
    MaximumRetryCount: maximumRetryCount,
    ...(delayMs === undefined ? {} : { DelayMs: delayMs }),
    ...(windowMs === undefined ? {} : { WindowMs: windowMs }),
  };
}

function hostConfigOf(container: Container) {
  const { record } = container;
  const { spec } = record;
  const limits = spec.resources;
  return {
    Binds: record.mounts
      .filter(({ type }) => type !== 'tmpfs')
      .map(({ source, target, readOnly }) => `${source}:${target}${readOnly ? ':ro' : ''}`),
    NetworkMode: spec.network === '' ? 'bridge' : spec.network,
    PortBindings: portMap(spec.ports),
    RestartPolicy: restartPolicyOf(record.policy),
    AutoRemove: spec.autoRemove,
    VolumesFrom: spec.volumesFrom,
    CapAdd: spec.capabilitiesAdd,
    CapDrop: spec.capabilitiesDrop,
    Privileged: spec.privileged,
    ReadonlyRootfs: spec.readOnlyRootfs,
    SecurityOpt: spec.securityOptions,
    UsernsMode: spec.userNamespace,
    ExtraHosts: spec.extraHosts,
    Dns: spec.dnsServers,
    DnsSearch: spec.dnsSearch,
    DnsOptions: spec.dnsOptions,
    GroupAdd: spec.groups,
    ShmSize: spec.shmSizeBytes || 64 * 1024 * 1024,
    Sysctls: spec.sysctls,
    Ulimits: spec.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    Devices: spec.devices.map(({ hostPath, containerPath, permissions }) => ({
      PathOnHost: hostPath,
      PathInContainer: containerPath || hostPath,
      CgroupPermissions: permissions || 'rwm',
    })),
    Tmpfs: Object.fromEntries(
      record.mounts
        .filter(({ type }) => type === 'tmpfs')
        .map(({ target, tmpfsSizeBytes }) => [target, tmpfsSizeBytes > 0 ? `size=${tmpfsSizeBytes}` : '']),
    ),
    Init: spec.init,
    OomScoreAdj: spec.oomScoreAdjust ?? 0,
    LogConfig: { Type: spec.log?.driver || 'json-file', Config: {} },
    Memory: limits?.memoryLimitBytes ?? 0,
    MemorySwap: limits?.memorySwapLimitBytes ?? 0,
    MemoryReservation: limits?.memoryReservationBytes ?? 0,
    CpuShares: limits?.cpuShares ?? 0,
    CpuPeriod: limits?.cpuPeriodUs ?? 0,
    CpuQuota: limits?.cpuQuotaUs ?? 0,
    NanoCpus:
      limits?.cpuQuotaUs === undefined || limits.cpuQuotaUs <= 0
        ? 0
        : Math.round((limits.cpuQuotaUs / (limits.cpuPeriodUs ?? 100_000)) * 1e9),
    CpusetCpus: limits?.cpusetCpus ?? '',
    CpusetMems: limits?.cpusetMems ?? '',
    PidsLimit: limits?.pidsLimit ?? 0,
    OomKillDisable: limits?.oomKillDisable ?? false,
  };
}

function configOf(container: Container) {
  const { record } = container;
  const { spec, execution } = record;
  const check = execution.healthCheck;
  return {
    Hostname: hostnameOf(record),
    User: execution.user,
    Tty: spec.terminal,
    OpenStdin: spec.openStdin,
    StdinOnce: spec.stdinOnce,
    Env: execution.environment,
    Cmd: execution.command,
    Entrypoint: execution.entrypoint,
    Image: spec.image,
    WorkingDir: execution.workingDirectory,
    Labels: execution.labels,
    Volumes: Object.fromEntries(execution.volumes.map((path) => [path, {}])),
    ExposedPorts: Object.fromEntries(execution.exposedPorts.map((port) => [port, {}])),
    StopSignal: signalName(execution.stopSignal),
    ...(spec.stopTimeoutSeconds === undefined ? {} : { StopTimeout: spec.stopTimeoutSeconds }),
    ...(check === undefined
      ? {}
      : {
          Healthcheck: {
            Test: check.test,
            Interval: check.intervalMs * 1e6,
            Timeout: check.timeoutMs * 1e6,
            StartPeriod: check.startPeriodMs * 1e6,
            StartInterval: check.startIntervalMs * 1e6,
            Retries: check.retries,
          },
        }),
  };
}

function networkSettingsOf(container: Container) {
  const { record } = container;
  const facts = container.running ? record.network : undefined;
  const mode = record.spec.network === '' ? 'bridge' : record.spec.network;
  const { scope, aliases } = networkNames(record.spec);
  const endpoint = {
    IPAddress: facts?.ipAddress ?? '',
    IPPrefixLen: facts?.prefixLength ?? 0,
    Gateway: facts?.gateway ?? '',
    MacAddress: facts?.macAddress ?? '',
    ...(scope === '' ? {} : { Aliases: aliases, Scope: scope }),
  };
  return {
    SandboxID: facts?.sandboxId ?? '',
    Ports: portMap(facts?.ports ?? []),
    ...endpoint,
    Networks: { [mode]: endpoint },
  };
}

/** The container as `docker inspect` shows one. */
export function inspectContainer(context: AgentContext, container: Container): Record<string, unknown> {
  const { record, life } = container;
  const directory = context.records.pathOf(record.id);
  const [path = '', ...args] = record.execution.args;
  return {
    Id: record.id,
    Created: new Date(record.createdUnixMs).toISOString(),
    Path: path,
    Args: args,
    State: stateOf(container),
    Image: record.imageId,
    ImageReference: record.image,
    ResolvConfPath: `${directory}/resolv.conf`,
    HostnamePath: `${directory}/hostname`,
    HostsPath: `${directory}/hosts`,
    LogPath: record.spec.log?.driver === 'none' ? '' : logPath(context, record.id),
    Name: `/${record.name}`,
    RestartCount: life.restartCount,
    Attempt: life.attempt,
    Driver: 'overlay',
    Platform: 'linux',
    EffectiveCaps: capabilitiesOf(record),
    UserNamespace: { FirstHostId: container.running ? record.network.idBase : 0 },
    HostConfig: hostConfigOf(container),
    Config: configOf(container),
    NetworkSettings: networkSettingsOf(container),
    Mounts: record.mounts.map(({ type, source, target, readOnly, propagation }) => ({
      Type: type,
      ...(type === 'volume'
        ? { Name: source, Source: context.volumes.dataPath(source), Driver: 'local' }
        : { Source: source }),
      Destination: target,
      Mode: readOnly ? 'ro' : '',
      RW: !readOnly,
      Propagation: propagation,
    })),
    GraphDriver: {
      Name: 'overlay',
      Data: { InContainer: "overlay is mounted in the container's own mount namespace" },
    },
  };
}

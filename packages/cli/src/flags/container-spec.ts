import type { ContainerSpec, HealthCheck, LogConfig, Resources } from '../client/types.js';
import { UsageFailure } from '../failures.js';
import type { ContainerFlags } from './container-flags.js';
import { parseMountFlag, parseTmpfsFlag, parseVolumeFlag } from './mounts.js';
import {
  parseAddHost,
  parseDevice,
  parseEnvironment,
  parseLabel,
  parseNetwork,
  parsePair,
  parseRestart,
  parseUlimit,
  readEnvironmentFile,
  readSecurityOption,
  readTextFile,
} from './pairs.js';
import { parsePublish } from './ports.js';
import {
  parseCpus,
  cpuPeriodUs,
  parseDuration,
  parseInteger,
  parseSize,
  parseSizeOrUnlimited,
} from './quantities.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** What the flags ask for. What they leave open is left out: the node fills it in from image and defaults. */
export function specFromFlags(
  image: string,
  command: string[],
  flags: ContainerFlags,
  own: Environment,
): ContainerSpec {
  const spec: ContainerSpec = { image };
  const set = <K extends keyof ContainerSpec>(key: K, value: ContainerSpec[K] | undefined): void => {
    if (value !== undefined && !(Array.isArray(value) && value.length === 0)) spec[key] = value;
  };
  set('command', command);
  if (flags.entrypoint !== undefined) {
    spec.entrypointSet = true;
    set('entrypoint', flags.entrypoint === '' ? [] : [flags.entrypoint]);
  }
  set('environment', [
    ...(flags.envFile ?? []).flatMap((path) => readEnvironmentFile(path, own)),
    ...(flags.env ?? []).flatMap((text) => parseEnvironment(text, own)),
  ]);
  set('workingDirectory', flags.workdir);
  set('user', flags.user);
  set('groups', flags.groupAdd);
  set('hostname', flags.hostname);
  set('terminal', flags.tty);
  set('openStdin', flags.interactive);
  set('stdinOnce', flags.interactive);
  set('labels', labelsFrom(flags));
  set('mounts', [
    ...(flags.volume ?? []).map(parseVolumeFlag),
    ...(flags.mount ?? []).map(parseMountFlag),
    ...(flags.tmpfs ?? []).map(parseTmpfsFlag),
  ]);
  set('volumesFrom', flags.volumesFrom);
  set('ports', (flags.publish ?? []).flatMap(parsePublish));
  set('resources', resourcesFrom(flags));
  set('readOnlyRootfs', flags.readOnly);
  set('capabilitiesAdd', flags.capAdd);
  set('capabilitiesDrop', flags.capDrop);
  set('privileged', flags.privileged);
  set('securityOptions', flags.securityOpt?.map(readSecurityOption));
  set('devices', flags.device?.map(parseDevice));
  set('ulimits', flags.ulimit?.map(parseUlimit));
  set('sysctls', flags.sysctl && Object.fromEntries(flags.sysctl.map((text) => parsePair(text, '--sysctl'))));
  set('shmSizeBytes', flags.shmSize === undefined ? undefined : parseSize(flags.shmSize, '--shm-size'));
  set('init', flags.init);
  set('userNamespace', userNamespaceFrom(flags.userns));
  set('network', flags.network === undefined ? undefined : parseNetwork(flags.network));
  set('extraHosts', flags.addHost?.map(parseAddHost));
  set('dnsServers', flags.dns);
  set('dnsSearch', flags.dnsSearch);
  set('dnsOptions', flags.dnsOption);
  set('restartPolicy', flags.restart === undefined ? undefined : parseRestart(flags.restart));
  if (flags.rm === true && spec.restartPolicy !== undefined && spec.restartPolicy.name !== 'no')
    throw new UsageFailure('--rm and --restart contradict each other');
  set('stopSignal', flags.stopSignal);
  set('stopTimeoutSeconds', uint32(flags.stopTimeout, '--stop-timeout'));
  set('healthCheck', healthCheckFrom(flags));
  set('log', logFrom(flags));
  set('autoRemove', flags.rm);
  if (flags.oomScoreAdj !== undefined)
    spec.oomScoreAdjust = parseInteger(flags.oomScoreAdj, '--oom-score-adj', {
      minimum: -1000,
      maximum: 1000,
    });
  return spec;
}

const uint32 = (text: string | undefined, flag: string): number | undefined =>
  text === undefined ? undefined : parseInteger(text, flag, { maximum: 0xffff_ffff });

function labelsFrom({ label = [], labelFile = [] }: ContainerFlags): Record<string, string> | undefined {
  const lines = labelFile.flatMap((path) =>
    readTextFile(path, '--label-file')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#')),
  );
  const pairs = [...lines, ...label].map((text) => parseLabel(text));
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

function userNamespaceFrom(text: string | undefined): string | undefined {
  if (text === undefined || text === '' || text === 'private' || text === 'host') return text;
  throw new UsageFailure(`--userns: "${text}" is neither private nor host`);
}

/** Limits; undefined when no flag asks for one. */
export function resourcesFrom(flags: ContainerFlags): Resources | undefined {
  const resources: Resources = {};
  if (flags.memory !== undefined) resources.memoryLimitBytes = parseSize(flags.memory, '--memory');
  if (flags.memorySwap !== undefined)
    resources.memorySwapLimitBytes = parseSizeOrUnlimited(flags.memorySwap, '--memory-swap');
  if (flags.memoryReservation !== undefined)
    resources.memoryReservationBytes = parseSize(flags.memoryReservation, '--memory-reservation');
  if (flags.cpus !== undefined) {
    if (flags.cpuQuota !== undefined || flags.cpuPeriod !== undefined)
      throw new UsageFailure('--cpus and --cpu-quota or --cpu-period say the same twice');
    resources.cpuQuotaUs = parseCpus(flags.cpus, '--cpus');
    resources.cpuPeriodUs = cpuPeriodUs;
  }
  if (flags.cpuQuota !== undefined)
    resources.cpuQuotaUs = parseInteger(flags.cpuQuota, '--cpu-quota', { minimum: -1 });
  if (flags.cpuPeriod !== undefined)
    resources.cpuPeriodUs = parseInteger(flags.cpuPeriod, '--cpu-period', {
      minimum: 1_000,
      maximum: 1_000_000,
    });
  if (flags.cpuShares !== undefined)
    resources.cpuShares = parseInteger(flags.cpuShares, '--cpu-shares', { minimum: 2, maximum: 262_144 });
  if (flags.cpusetCpus !== undefined) resources.cpusetCpus = flags.cpusetCpus;
  if (flags.cpusetMems !== undefined) resources.cpusetMems = flags.cpusetMems;
  if (flags.pidsLimit !== undefined)
    resources.pidsLimit = parseInteger(flags.pidsLimit, '--pids-limit', { minimum: -1 });
  if (flags.oomKillDisable === true) resources.oomKillDisable = true;
  return Object.keys(resources).length === 0 ? undefined : resources;
}

function healthCheckFrom(flags: ContainerFlags): HealthCheck | undefined {
  const check: HealthCheck = {};
  const duration = (
    text: string | undefined,
    flag: string,
    key: 'intervalMs' | 'timeoutMs' | 'startPeriodMs' | 'startIntervalMs',
  ): void => {
    if (text !== undefined) check[key] = parseDuration(text, flag);
  };
  if (flags.healthCmd !== undefined) check.test = ['CMD-SHELL', flags.healthCmd];
  duration(flags.healthInterval, '--health-interval', 'intervalMs');
  duration(flags.healthTimeout, '--health-timeout', 'timeoutMs');
  duration(flags.healthStartPeriod, '--health-start-period', 'startPeriodMs');
  duration(flags.healthStartInterval, '--health-start-interval', 'startIntervalMs');
  const retries = uint32(flags.healthRetries, '--health-retries');
  if (retries !== undefined) check.retries = retries;
  if (flags.healthcheck === false) {
    if (Object.keys(check).length > 0)
      throw new UsageFailure('--no-healthcheck and other --health flags contradict each other');
    check.test = ['NONE'];
  }
  return Object.keys(check).length === 0 ? undefined : check;
}

function logFrom({ logDriver, logOpt = [] }: ContainerFlags): LogConfig | undefined {
  const log: LogConfig = {};
  if (logDriver !== undefined) {
    if (logDriver !== 'json-file' && logDriver !== 'none')
      throw new UsageFailure(`--log-driver: "${logDriver}" is not done; json-file and none are`);
    log.driver = logDriver;
  }
  for (const text of logOpt) {
    const [key, value] = parsePair(text, '--log-opt');
    if (key === 'max-size') log.maxSizeBytes = parseSize(value, '--log-opt max-size');
    else if (key === 'max-file')
      log.maxFiles = parseInteger(value, '--log-opt max-file', { minimum: 1, maximum: 100 });
    else throw new UsageFailure(`--log-opt: "${key}" is not done; max-size and max-file are`);
  }
  return Object.keys(log).length === 0 ? undefined : log;
}

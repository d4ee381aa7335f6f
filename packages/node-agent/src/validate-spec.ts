import { statSync } from 'node:fs';
import { isIP } from 'node:net';
import { release } from 'node:os';
import {
  parseSeccompProfile,
  parseSignal,
  resolveCapabilities,
  resolveDevice,
  resolveSysctls,
  resolveUlimits,
  type Checked,
  type HostDevice,
  type SeccompArchitecture,
} from '@gantry/oci';
import type { node } from '@gantry/protocol';
import type { Policy } from './lifecycle.js';
import { refusal } from './refuse.js';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const MIN_MEMORY_BYTES = 6 * 1024 * 1024;
/** 23 days: the timers of Node.js hold 24. */
const LONGEST_POLICY_MS = 2_000_000_000;
const POLICIES = new Set(['no', 'always', 'unless-stopped', 'on-failure']);

function refuse(message: string): never {
  throw refusal('invalid_argument', 'CreateContainer', '', message);
}

function take<T>(checked: Checked<T>): T {
  return checked.ok ? checked.value : refuse(checked.reason);
}

/** Names become parts of host names and paths. */
export function checkContainerName(name: string): void {
  if (name.length > 255 || !NAME.test(name))
    refuse(
      `container name ${JSON.stringify(name)} is not letters, digits, _, . and - after a letter or digit`,
    );
}

export function parsePolicy(policy: node.RestartPolicy | undefined): Policy {
  const name = policy === undefined || policy.name === '' ? 'no' : policy.name;
  if (!POLICIES.has(name))
    refuse(`restart policy ${JSON.stringify(name)} is not no, always, unless-stopped or on-failure`);
  const maximumRetryCount = policy?.maximumRetryCount ?? 0;
  if (maximumRetryCount > 0 && name !== 'on-failure' && name !== 'always')
    refuse(`restart policy ${name} takes no maximum of retries`);
  const { delayMs, windowMs = 0 } = policy ?? {};
  if ((delayMs !== undefined || windowMs > 0) && name === 'no')
    refuse('restart policy no takes no delay and no window');
  for (const [what, ms] of [
    ['delay', delayMs ?? 0],
    ['window', windowMs],
  ] as const)
    if (ms > LONGEST_POLICY_MS) refuse(`restart ${what} of ${ms} ms is more than 23 days`);
  return {
    name: name as Policy['name'],
    maximumRetryCount,
    ...(delayMs === undefined ? {} : { delayMs }),
    ...(windowMs === 0 ? {} : { windowMs }),
  };
}

/** What `--network` says. */
export type NetworkWish =
  { readonly mode: 'bridge' | 'none' | 'host' } | { readonly mode: 'container'; readonly container: string };

export function parseNetwork(text: string): NetworkWish {
  if (text === '' || text === 'bridge' || text === 'default') return { mode: 'bridge' };
  if (text === 'none' || text === 'host') return { mode: text };
  if (text.startsWith('container:') && text.length > 'container:'.length)
    return { mode: 'container', container: text.slice('container:'.length) };
  return refuse(`network ${JSON.stringify(text)} is not bridge, none, host or container:NAME`);
}

export interface SecurityWish {
  readonly noNewPrivileges: boolean;
  /** undefined: the default profile; `unconfined`; or the text of a profile. */
  readonly seccomp: string | undefined;
  readonly hideSystemPaths: boolean;
}

export function parseSecurityOptions(options: readonly string[]): SecurityWish {
  let wish: SecurityWish = { noNewPrivileges: false, seccomp: undefined, hideSystemPaths: true };
  for (const option of options) {
    const [key = '', value] = split(option);
    if (key === 'no-new-privileges' && (value === undefined || value === 'true' || value === 'false'))
      wish = { ...wish, noNewPrivileges: value !== 'false' };
    else if (key === 'seccomp' && value !== undefined && value !== '') wish = { ...wish, seccomp: value };
    else if (key === 'systempaths' && value === 'unconfined') wish = { ...wish, hideSystemPaths: false };
    else refuse(`security option ${JSON.stringify(option.slice(0, 80))} is not supported`);
  }
  return wish;
}

function split(option: string): readonly [string, string | undefined] {
  const at = option.search(/[=:]/);
  return at < 0 ? [option, undefined] : [option.slice(0, at), option.slice(at + 1)];
}

/** A device node of this host, as oci wants it. */
export function hostDevice(path: string): HostDevice | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || !(stats.isCharacterDevice() || stats.isBlockDevice())) return undefined;
  // makedev(3) of Linux: twelve bits of major and twenty of minor, interleaved.
  const rdev = BigInt(stats.rdev);
  const major = Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n));
  const minor = Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n));
  return { type: stats.isBlockDevice() ? 'b' : 'c', major, minor, fileMode: stats.mode & 0o777 };
}

function checkPorts(spec: node.ContainerSpec, network: NetworkWish): void {
  if (spec.ports.length > 0 && network.mode === 'container')
    refuse('ports cannot be published by a container that shares the network of another');
  const taken = new Set<string>();
  for (const { hostIp, hostPort, containerPort, protocol } of spec.ports) {
    if (containerPort < 1 || containerPort > 65535)
      refuse(`container port ${containerPort} is not 1 to 65535`);
    if (hostPort > 65535) refuse(`host port ${hostPort} is not 1 to 65535`);
    if (protocol !== '' && protocol !== 'tcp' && protocol !== 'udp')
      refuse(`port protocol ${JSON.stringify(protocol)} is not tcp or udp`);
    if (hostIp !== '' && isIP(hostIp) === 0)
      refuse(`host address ${JSON.stringify(hostIp)} of port ${containerPort} is not an IP address`);
    const key = `${hostIp}:${hostPort}/${protocol || 'tcp'}`;
    if (hostPort !== 0 && taken.has(key)) refuse(`host port ${hostPort} is published twice`);
    taken.add(key);
  }
}

function checkNames(spec: node.ContainerSpec, network: NetworkWish): void {
  if (spec.hostname !== '') {
    if (spec.hostname.length > 63 || !/^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/.test(spec.hostname))
      refuse(`hostname ${JSON.stringify(spec.hostname)} is not valid`);
    if (network.mode === 'container')
      refuse('a container that shares the network of another has its hostname too');
  }
  for (const entry of spec.extraHosts) {
    const [host = '', address = ''] = split(entry);
    if (host === '' || /\s/.test(host) || (isIP(address) === 0 && address !== 'host-gateway'))
      refuse(`extra host ${JSON.stringify(entry)} is not HOST:IP`);
  }
  for (const server of spec.dnsServers)
    if (isIP(server) === 0) refuse(`DNS server ${JSON.stringify(server)} is not an IP address`);
  if (spec.networkAliases.length > 0 && spec.networkScope === '')
    refuse('network aliases are given without a scope of names');
  for (const alias of spec.networkAliases)
    if (alias.length > 253 || !alias.split('.').every((label) => /^[A-Za-z0-9_-]{1,63}$/.test(label)))
      refuse(`network alias ${JSON.stringify(alias)} cannot be a name in DNS`);
  for (const word of [...spec.dnsSearch, ...spec.dnsOptions])
    if (word === '' || /\s/.test(word)) refuse(`DNS setting ${JSON.stringify(word)} is not one word`);
}

function checkResources(resources: node.ContainerSpec['resources']): void {
  if (resources === undefined) return;
  const {
    memoryLimitBytes,
    memorySwapLimitBytes,
    memoryReservationBytes,
    cpuQuotaUs,
    cpuPeriodUs,
    cpuShares,
    pidsLimit,
  } = resources;
  if (memoryLimitBytes !== undefined && memoryLimitBytes !== 0 && memoryLimitBytes < MIN_MEMORY_BYTES)
    refuse(`memory limit ${memoryLimitBytes} is below 6 MiB`);
  const limit = memoryLimitBytes ?? 0;
  if (memorySwapLimitBytes !== undefined && memorySwapLimitBytes > 0 && memorySwapLimitBytes < limit)
    refuse(`memory plus swap limit ${memorySwapLimitBytes} is below the memory limit ${limit}`);
  if (memoryReservationBytes !== undefined && limit > 0 && memoryReservationBytes > limit)
    refuse(`memory reservation ${memoryReservationBytes} is above the memory limit ${limit}`);
  if (cpuPeriodUs !== undefined && (cpuPeriodUs < 1000 || cpuPeriodUs > 1_000_000))
    refuse(`cpu period ${cpuPeriodUs} is not 1,000 to 1,000,000 microseconds`);
  if (cpuQuotaUs !== undefined && cpuQuotaUs > 0 && cpuQuotaUs < 1000)
    refuse(`cpu quota ${cpuQuotaUs} is below 1,000 microseconds`);
  if (cpuShares !== undefined && cpuShares !== 0 && (cpuShares < 2 || cpuShares > 262_144))
    refuse(`cpu shares ${cpuShares} are not 2 to 262,144`);
  if (pidsLimit !== undefined && pidsLimit < -1) refuse(`pids limit ${pidsLimit} is not -1 or more`);
  for (const [name, list] of [
    ['cpuset cpus', resources.cpusetCpus],
    ['cpuset mems', resources.cpusetMems],
  ] as const)
    if (list !== '' && !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list))
      refuse(`${name} ${JSON.stringify(list)} are not a list like 0-3,7`);
}

/** What the checks found out on the way, for whoever composes the container. */
export interface CheckedWish {
  readonly policy: Policy;
  readonly network: NetworkWish;
  readonly warnings: readonly string[];
}

/** Everything that can be said about a wish before anything is made; throws one clear sentence. */
export function checkSpec(
  spec: node.ContainerSpec,
  architecture: SeccompArchitecture,
  initAvailable: boolean,
): CheckedWish {
  const warnings: string[] = [];
  if (spec.image === '') refuse('no image is named');
  const network = parseNetwork(spec.network);
  const policy = parsePolicy(spec.restartPolicy);
  if (spec.autoRemove && policy.name !== 'no')
    refuse('a container that is removed when it exits cannot have a restart policy');
  if (!['', 'private', 'host'].includes(spec.userNamespace))
    refuse(`user namespace ${JSON.stringify(spec.userNamespace)} is not private or host`);
  if (network.mode === 'container' && spec.userNamespace !== '')
    refuse('a container that shares the network of another has its user namespace too');
  if (spec.init && !initAvailable) refuse('--init needs gantry-init, which is not built');
  checkNames(spec, network);
  checkPorts(spec, network);
  if (spec.ports.length > 0 && (network.mode === 'host' || network.mode === 'none'))
    warnings.push(`published ports are left out with network ${network.mode}`);
  checkResources(spec.resources);
  const capabilities = take(
    resolveCapabilities({
      add: spec.capabilitiesAdd,
      drop: spec.capabilitiesDrop,
      privileged: spec.privileged,
    }),
  );
  const security = parseSecurityOptions(spec.securityOptions);
  if (security.seccomp !== undefined && security.seccomp !== 'unconfined')
    take(parseSeccompProfile(security.seccomp, capabilities, architecture, release()));
  for (const device of spec.devices) take(resolveDevice(device, hostDevice(device.hostPath)));
  take(resolveUlimits(spec.ulimits));
  take(resolveSysctls(spec.sysctls, { hostNetwork: network.mode === 'host' }));
  const { stopSignal, oomScoreAdjust, log } = spec;
  if (stopSignal !== '' && parseSignal(stopSignal) === undefined)
    refuse(`stop signal ${JSON.stringify(stopSignal)} is not a signal`);
  if (oomScoreAdjust !== undefined && (oomScoreAdjust < -1000 || oomScoreAdjust > 1000))
    refuse(`oom score adjustment ${oomScoreAdjust} is not -1000 to 1000`);
  if (log !== undefined && !['', 'json-file', 'none'].includes(log.driver))
    refuse(`log driver ${JSON.stringify(log.driver)} is not json-file or none`);
  if (log?.maxFiles !== undefined && (log.maxFiles < 1 || log.maxFiles > 100))
    refuse(`number of log files ${log.maxFiles} is not 1 to 100`);
  return { policy, network, warnings };
}

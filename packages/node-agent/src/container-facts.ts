import { statfsSync } from 'node:fs';
import { release } from 'node:os';
import {
  DEFAULT_SHM_BYTES,
  defaultSeccomp,
  parseSeccompProfile,
  processEnvironment,
  resolveCapabilities,
  resolveDevice,
  resolveSysctls,
  resolveUlimits,
  type Checked,
  type ContainerFacts,
  type ResolvedDevice,
  type ResolvedUser,
  type RuntimeMount,
  type RuntimeSeccomp,
  type SeccompArchitecture,
} from '@gantry/oci';
import { GENERATED_FILES, hostnameOf } from './generated-files.js';
import { initProgram } from './native.js';
import type { ContainerRecord, MountRecord } from './record.js';
import { refusal } from './refuse.js';
import { hostDevice, parseSecurityOptions } from './validate-spec.js';

export const architecture: SeccompArchitecture = process.arch === 'arm64' ? 'arm64' : 'x64';

/** File systems whose mounts the kernel can id-map, by statfs(2)'s magic: ext4, xfs, btrfs, tmpfs, f2fs, vfat, erofs. */
const ID_MAPPABLE = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0xf2f52010, 0x4d44, 0xe0f5e1e2]);

function take<T>(checked: Checked<T>, record: ContainerRecord): T {
  if (checked.ok) return checked.value;
  throw refusal('failed_precondition', 'StartContainer', record.id, checked.reason);
}

function idMappable(path: string): boolean {
  try {
    return ID_MAPPABLE.has(statfsSync(path).type);
  } catch {
    return false;
  }
}

const INIT_TARGET = '/run/gantry-init';
const INIT_MOUNT: RuntimeMount = {
  destination: INIT_TARGET,
  type: 'bind',
  source: initProgram,
  options: ['bind', 'rprivate', 'nosuid', 'nodev', 'ro'],
};

/** What a mount is made from besides the record. */
export interface MountPlaces {
  readonly userNamespace: boolean;
  readonly volumePath: (name: string) => string;
}

function renderMount(mount: MountRecord, places: MountPlaces): RuntimeMount {
  const access = mount.readOnly ? 'ro' : 'rw';
  switch (mount.type) {
    case 'tmpfs': {
      const size = mount.tmpfsSizeBytes > 0 ? [`size=${mount.tmpfsSizeBytes}`] : [];
      return {
        destination: mount.target,
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'nodev', 'noexec', access, `mode=${mount.tmpfsMode.toString(8)}`, ...size],
      };
    }
    case 'volume':
      return {
        destination: mount.target,
        type: 'bind',
        source: places.volumePath(mount.source),
        options: ['rbind', 'rprivate', ...(places.userNamespace ? ['idmap'] : []), access],
      };
    case 'bind': {
      // The host's files show their true owners inside, as docker's do; where the file system cannot be id-mapped
      // they belong to nobody inside.
      const idmap = places.userNamespace && idMappable(mount.source) ? ['idmap'] : [];
      return {
        destination: mount.target,
        type: 'bind',
        source: mount.source,
        options: ['rbind', mount.propagation === '' ? 'rprivate' : mount.propagation, ...idmap, access],
      };
    }
  }
}

function generatedMounts(
  record: ContainerRecord,
  directory: string,
  userNamespace: boolean,
): readonly RuntimeMount[] {
  const taken = new Set(record.mounts.map(({ target }) => target));
  return GENERATED_FILES.filter((name) => !taken.has(`/etc/${name}`)).map((name) => ({
    destination: `/etc/${name}`,
    type: 'bind',
    source: `${directory}/${name}`,
    options: ['bind', 'rprivate', ...(userNamespace ? ['idmap'] : [])],
  }));
}

/** Capabilities, by the rules of the record. */
export function capabilitiesOf(record: ContainerRecord): readonly string[] {
  const { capabilitiesAdd: add, capabilitiesDrop: drop, privileged } = record.spec;
  return take(resolveCapabilities({ add, drop, privileged }), record);
}

const defaultProfiles = new Map<string, RuntimeSeccomp>();

function seccompOf(record: ContainerRecord, capabilities: readonly string[]): RuntimeSeccomp | undefined {
  const { seccomp } = parseSecurityOptions(record.spec.securityOptions);
  if (seccomp === 'unconfined' || (seccomp === undefined && record.spec.privileged)) return undefined;
  if (seccomp !== undefined)
    return take(parseSeccompProfile(seccomp, capabilities, architecture, release()), record);
  const key = capabilities.join();
  let profile = defaultProfiles.get(key);
  if (profile === undefined) {
    profile = defaultSeccomp(capabilities, architecture);
    if (defaultProfiles.size < 64) defaultProfiles.set(key, profile);
  }
  return profile;
}

export function devicesOf(record: ContainerRecord): readonly ResolvedDevice[] {
  return record.spec.devices.map((wish) => take(resolveDevice(wish, hostDevice(wish.hostPath)), record));
}

export function sysctlsOf(record: ContainerRecord): {
  network: Readonly<Record<string, string>>;
  runtime: Readonly<Record<string, string>>;
} {
  return take(resolveSysctls(record.spec.sysctls, { hostNetwork: record.spec.network === 'host' }), record);
}

/** The environment a process of this container has, before an exec's own. */
export function environmentOf(
  record: ContainerRecord,
  user: ResolvedUser,
  terminal: boolean,
): readonly string[] {
  return processEnvironment({
    environment: record.execution.environment,
    hostname: hostnameOf(record),
    terminal,
    home: user.home,
  });
}

export interface StartFacts {
  readonly record: ContainerRecord;
  readonly user: ResolvedUser;
  readonly userNamespace: boolean;
  readonly networkNamespace: boolean;
  /** Holds hosts, hostname and resolv.conf. */
  readonly filesDirectory: string;
  readonly volumePath: (name: string) => string;
}

/** Everything the runtime-spec of one start is made of. */
export function containerFacts(facts: StartFacts): ContainerFacts {
  const { record, user, userNamespace } = facts;
  const { spec, execution } = record;
  const capabilities = capabilitiesOf(record);
  const security = parseSecurityOptions(spec.securityOptions);
  const devices = devicesOf(record);
  return {
    process: {
      args: spec.init ? [INIT_TARGET, ...execution.args] : execution.args,
      environment: environmentOf(record, user, spec.terminal),
      workingDirectory: execution.workingDirectory,
      user,
      terminal: spec.terminal,
      capabilities,
      noNewPrivileges: security.noNewPrivileges,
      rlimits: take(resolveUlimits(spec.ulimits), record),
      oomScoreAdjust: spec.oomScoreAdjust,
    },
    hostname: hostnameOf(record),
    readOnlyRootfs: spec.readOnlyRootfs,
    privileged: spec.privileged,
    shmSizeBytes: spec.shmSizeBytes || DEFAULT_SHM_BYTES,
    mounts: [
      ...(spec.init ? [INIT_MOUNT] : []),
      ...generatedMounts(record, facts.filesDirectory, userNamespace),
      ...record.mounts.map((mount) => renderMount(mount, { userNamespace, volumePath: facts.volumePath })),
    ],
    devices: devices.map(({ device }) => device),
    deviceRules: devices.map(({ rule }) => rule),
    sysctls: sysctlsOf(record).runtime,
    seccomp: seccompOf(record, capabilities),
    userNamespace,
    networkNamespace: facts.networkNamespace,
    hideSystemPaths: security.hideSystemPaths,
    annotations: {},
  };
}

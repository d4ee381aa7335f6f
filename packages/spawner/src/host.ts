import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { parseHierarchies } from './cgroup-mounts.js';
import type { HostFacts } from './container-plan.js';
import type { SecurityModules } from './security-labels.js';

/** Namespaces as /proc/<pid>/ns names them. */
export const NAMESPACE_KINDS = ['user', 'mnt', 'net', 'pid', 'ipc', 'uts', 'cgroup', 'time'] as const;

/** Where each device number was found last; first where every Linux has those that nearly every container asks for. */
const foundDevices = new Map([
  ['c1:3', '/dev/null'],
  ['c1:5', '/dev/zero'],
  ['c1:7', '/dev/full'],
  ['c1:8', '/dev/random'],
  ['c1:9', '/dev/urandom'],
  ['c5:0', '/dev/tty'],
]);

/** The node of the host for a device number, by way of sysfs. */
function findDevice(type: 'c' | 'b', major: number, minor: number): string | undefined {
  const key = `${type}${major}:${minor}`;
  try {
    const known = foundDevices.get(key);
    if (known !== undefined && isDevice(known, type, major, minor)) return known;
    const uevent = readFileSync(
      `/sys/dev/${type === 'c' ? 'char' : 'block'}/${major}:${minor}/uevent`,
      'utf8',
    );
    const name = /^DEVNAME=(.+)$/m.exec(uevent)?.[1];
    if (name === undefined) return undefined;
    const path = realpathSync(`/dev/${name}`);
    if (!isDevice(path, type, major, minor)) return undefined;
    foundDevices.set(key, path);
    return path;
  } catch {
    return undefined;
  }
}

function isDevice(path: string, type: 'c' | 'b', major: number, minor: number): boolean {
  const status = statSync(path, { throwIfNoEntry: false });
  const isKind = type === 'c' ? status?.isCharacterDevice() : status?.isBlockDevice();
  return isKind === true && status?.rdev === makeDevice(major, minor);
}

/** glibc's makedev. */
function makeDevice(major: number, minor: number): number {
  return Number(
    ((BigInt(major) & 0xfffff000n) << 32n) |
      ((BigInt(major) & 0xfffn) << 8n) |
      ((BigInt(minor) & 0xffffff00n) << 12n) |
      (BigInt(minor) & 0xffn),
  );
}

function isOwnNetwork(path: string): boolean {
  try {
    const own = statSync('/proc/self/ns/net');
    const other = statSync(path);
    return own.ino === other.ino && own.dev === other.dev;
  } catch {
    // The launcher, who has to open it, says why that cannot be done.
    return false;
  }
}

function readSecurityModules(): SecurityModules {
  const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
  return {
    apparmor: read('/sys/module/apparmor/parameters/enabled').startsWith('Y'),
    // Registered only by a kernel that runs with it, mounted or not.
    selinux: /\bselinuxfs$/m.test(read('/proc/filesystems')),
  };
}

/** Of this process: none that it lacks can be given to a container. */
function readHeldCapabilities(): bigint {
  const status = readFileSync('/proc/self/status', 'utf8');
  return BigInt(`0x${/^CapPrm:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
}

export function readHostFacts(): HostFacts {
  return {
    hierarchies: parseHierarchies(readFileSync('/proc/self/mountinfo', 'utf8')),
    findDevice,
    isOwnNetwork,
    modules: readSecurityModules(),
    heldCapabilities: readHeldCapabilities(),
  };
}

/** `uname -r`. Node's os takes its time to load. */
export function readKernelRelease(): string {
  return readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
}

/** Unique to this boot: pids and handles of another mean nothing. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

export interface KernelReport {
  readonly kernel: string;
  readonly namespaces: readonly string[];
  /** Sentences. */
  readonly missing: readonly string[];
}

const CAP_SYS_RESOURCE = 24n;

export function reportKernel(): KernelReport {
  const namespaces = NAMESPACE_KINDS.filter((kind) => existsSync(`/proc/self/ns/${kind}`));
  const missing = NAMESPACE_KINDS.filter((kind) => !namespaces.includes(kind)).map(
    (kind) => `the kernel has no ${kind} namespaces`,
  );
  const status = readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  if (((effective >> CAP_SYS_RESOURCE) & 1n) === 0n)
    missing.push('no CAP_SYS_RESOURCE: hard resource limits cannot be raised, nor oom_score_adj lowered');
  if (!/^Seccomp:/m.test(status)) missing.push('the kernel has no seccomp filters');
  const filesystems = readFileSync('/proc/filesystems', 'utf8');
  if (!/\boverlay$/m.test(filesystems)) missing.push('the overlay file system is not loaded');
  return { kernel: readKernelRelease(), namespaces, missing };
}

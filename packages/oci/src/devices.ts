import { type Checked, invalid, valid } from './checked.js';
import type { RuntimeDevice, RuntimeDeviceCgroup } from './runtime-spec.js';

/** Made in every container's /dev; the host's nodes serve, since a user namespace cannot mknod. */
export const DEFAULT_DEVICES: readonly RuntimeDevice[] = Object.freeze([
  { type: 'c', path: '/dev/null', major: 1, minor: 3, fileMode: 0o666 },
  { type: 'c', path: '/dev/zero', major: 1, minor: 5, fileMode: 0o666 },
  { type: 'c', path: '/dev/full', major: 1, minor: 7, fileMode: 0o666 },
  { type: 'c', path: '/dev/random', major: 1, minor: 8, fileMode: 0o666 },
  { type: 'c', path: '/dev/urandom', major: 1, minor: 9, fileMode: 0o666 },
  { type: 'c', path: '/dev/tty', major: 5, minor: 0, fileMode: 0o666 },
]);

/** Devices a container may use: none, then mknod of any (using it is another matter), then the harmless ones and ptys. */
export const DEFAULT_DEVICE_RULES: readonly RuntimeDeviceCgroup[] = Object.freeze([
  { allow: false, access: 'rwm' },
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  ...DEFAULT_DEVICES.map(({ major, minor }) => ({
    allow: true,
    type: 'c',
    major: major ?? 0,
    minor: minor ?? 0,
    access: 'rwm',
  })),
  { allow: true, type: 'c', major: 5, minor: 2, access: 'rwm' },
  { allow: true, type: 'c', major: 136, access: 'rwm' },
]);

/** A device node of the host, as stat(2) tells it. */
export interface HostDevice {
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
}

export interface DeviceWish {
  readonly hostPath: string;
  /** Empty: the host's path. */
  readonly containerPath: string;
  /** Empty: `rwm`. */
  readonly permissions: string;
}

export interface ResolvedDevice {
  readonly device: RuntimeDevice;
  readonly rule: RuntimeDeviceCgroup;
}

/** Checks one `--device` and pairs its node with its cgroup rule. */
export function resolveDevice(wish: DeviceWish, host: HostDevice | undefined): Checked<ResolvedDevice> {
  const path = wish.containerPath === '' ? wish.hostPath : wish.containerPath;
  const access = wish.permissions === '' ? 'rwm' : wish.permissions;
  if (!path.startsWith('/')) return invalid(`device path ${JSON.stringify(path)} is not absolute`);
  if (!/^[rwm]{1,3}$/.test(access) || new Set(access).size !== access.length)
    return invalid(
      `device ${wish.hostPath} has permissions ${JSON.stringify(access)} that are not some of r, w and m`,
    );
  if (host === undefined) return invalid(`device ${wish.hostPath} is not a device node of this host`);
  const { type, major, minor, fileMode } = host;
  return valid({
    device: { type, path, major, minor, fileMode },
    rule: { allow: true, type, major, minor, access },
  });
}

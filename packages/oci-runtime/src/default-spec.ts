import {
  DEFAULT_SHM_BYTES,
  MASKED_PATHS,
  READONLY_PATHS,
  defaultMounts,
  type RuntimeSpec,
} from '@gantry/oci';
import { newestSpec } from './version.js';

const capabilities = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];

const mounts = defaultMounts({ privileged: false, foreignNetwork: false, shmSizeBytes: DEFAULT_SHM_BYTES });

/** A configuration to begin with: a shell in the bundle's `rootfs`, with little that it may do. Pure. */
export function defaultSpec(): RuntimeSpec {
  return {
    ociVersion: newestSpec,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'gantry',
    mounts,
    linux: {
      resources: { devices: [{ allow: false, access: 'rwm' }] },
      namespaces: (['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'] as const).map((type) => ({ type })),
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
    },
  };
}

/**
 * The same for somebody who is not root: in a user namespace with nobody but themselves in it, the host's network, and no cgroups,
 * which they may not make. Pure.
 */
export function rootlessSpec(uid: number, gid: number): RuntimeSpec {
  const spec = defaultSpec();
  const { resources: _resources, ...linux } = spec.linux ?? {};
  return {
    ...spec,
    mounts: mounts
      .filter(({ destination }) => destination !== '/sys/fs/cgroup')
      .map((mount) => {
        if (mount.destination === '/sys')
          return {
            destination: '/sys',
            type: 'none',
            source: '/sys',
            options: ['rbind', 'nosuid', 'noexec', 'nodev', 'ro'],
          };
        // Group 5 is nobody there.
        return { ...mount, options: (mount.options ?? []).filter((option) => option !== 'gid=5') };
      }),
    linux: {
      ...linux,
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
      namespaces: [...(linux.namespaces ?? []).filter(({ type }) => type !== 'network'), { type: 'user' }],
    },
  };
}

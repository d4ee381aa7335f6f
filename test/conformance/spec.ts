/** `config.json` as the cases write it: the parts they set by name, the rest as it comes. */
export interface Mount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
}

export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

export interface Hook {
  path: string;
  args?: string[];
  env?: string[];
  timeout?: number;
}

export interface ProcessSpec {
  args?: string[];
  cwd: string;
  env: string[];
  user: { uid: number; gid: number; umask?: number; additionalGids?: number[] };
  capabilities?: Record<string, string[]>;
  rlimits?: { type: string; soft: number; hard: number }[];
  noNewPrivileges?: boolean;
  terminal?: boolean;
  consoleSize?: { height: number; width: number };
  [name: string]: unknown;
}

export interface Seccomp {
  defaultAction: string;
  syscalls?: { names: string[]; action: string; errnoRet?: number; args?: object[] }[];
  [name: string]: unknown;
}

export interface LinuxSpec {
  namespaces: { type: string; path?: string }[];
  cgroupsPath?: string;
  resources?: Record<string, unknown>;
  seccomp?: Seccomp;
  maskedPaths?: string[];
  readonlyPaths?: string[];
  [name: string]: unknown;
}

export interface Spec {
  ociVersion: string;
  root?: { path: string; readonly?: boolean };
  process?: ProcessSpec;
  mounts: Mount[];
  hostname?: string;
  domainname?: string;
  hooks?: Record<string, Hook[]>;
  annotations?: Record<string, string>;
  linux: LinuxSpec;
  [name: string]: unknown;
}

const capabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

/** The smallest container that can look at itself; 1.0.2 is the newest version that both references know. */
export function baseSpec(cgroupsPath: string): Spec {
  return {
    ociVersion: '1.0.2',
    root: { path: 'rootfs' },
    process: {
      args: ['true'],
      cwd: '/',
      env: ['PATH=/bin'],
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
    },
    hostname: 'subject',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'strictatime', 'mode=755', 'size=1m'],
      },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
      },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
    ],
    linux: {
      cgroupsPath,
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
    },
  };
}

/** Ids that no user of the machine has. */
export const mapping: IdMapping[] = [{ containerID: 0, hostID: 900_000, size: 65_536 }];

export function inUserNamespace(spec: Spec, ids: IdMapping[] = mapping): void {
  spec.linux.namespaces.push({ type: 'user' });
  spec.linux['uidMappings'] = ids;
  spec.linux['gidMappings'] = ids;
}

import { refuse } from './refusal.js';

/** Which of its namespaces the container does not share with the host. */
export interface OwnNamespaces {
  readonly ipc: boolean;
  readonly network: boolean;
  readonly uts: boolean;
  readonly user: boolean;
}

const IPC = new Set(
  ['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmall', 'shmmax', 'shmmni', 'shm_rmid_forced'].map(
    (name) => `kernel.${name}`,
  ),
);

/**
 * `net.ipv4.conf.eth0.forwarding` and `net/ipv4/conf/eth0.1/forwarding` are both usual: the separator that comes first is the
 * one, and the other then stands for itself within a part (sysctl.d(5)).
 */
export function sysctlPath(key: string): string {
  const dots = key.search(/[./]/) < 0 || key[key.search(/[./]/)] === '.';
  const path = dots ? key.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.')) : key;
  if (
    !/^[A-Za-z0-9_\-/.:@]+$/.test(path) ||
    path.split('/').some((part) => part === '' || part === '..' || part === '.')
  )
    refuse(`linux.sysctl has ${JSON.stringify(key)}, which is not a sysctl`);
  return path;
}

/** The path of a sysctl beneath /proc/sys; refuses by name one that is not the container's own. */
export function ownSysctlPath(key: string, own: OwnNamespaces): string {
  const path = sysctlPath(key);
  const name = path.replaceAll('/', '.');
  const need = (has: boolean, kind: string): string =>
    has ? path : refuse(`linux.sysctl ${name} is the host's own: linux.namespaces has no ${kind} namespace`);
  if (IPC.has(name) || name.startsWith('fs.mqueue.')) return need(own.ipc, 'ipc');
  if (name.startsWith('net.')) return need(own.network, 'network');
  if (name === 'kernel.domainname') return need(own.uts, 'uts');
  if (name === 'kernel.hostname' && own.uts) refuse('linux.sysctl kernel.hostname is what hostname is for');
  // Limits on what may be made in a user namespace: of the host's they would be everybody's.
  if (name.startsWith('user.')) return need(own.user, 'user');
  refuse(`linux.sysctl ${name} is not separate for each container, so it is not allowed`);
}

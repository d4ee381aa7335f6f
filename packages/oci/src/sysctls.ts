import { type Checked, invalid, valid } from './checked.js';

/** Sysctls that belong to an ipc or uts namespace, so that a container's own value touches nobody else. */
const IPC = new Set([
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]);

export interface SysctlSplit {
  /** Of the network namespace: set by whoever owns it. */
  readonly network: Readonly<Record<string, string>>;
  /** Set by the runtime inside the container. */
  readonly runtime: Readonly<Record<string, string>>;
}

/** Sorts sysctls by who sets them; refuses by name what has no namespace or one that is the host's. */
export function resolveSysctls(
  wishes: Readonly<Record<string, string>>,
  options: { readonly hostNetwork: boolean },
): Checked<SysctlSplit> {
  const network: Record<string, string> = {};
  const runtime: Record<string, string> = {};
  for (const [written, value] of Object.entries(wishes)) {
    const name = written.replaceAll('/', '.');
    if (!/^[a-z0-9_.-]+$/i.test(name) || name.split('.').some((part) => part === ''))
      return invalid(`sysctl ${JSON.stringify(written)} is not a name`);
    if (name.startsWith('net.')) {
      if (options.hostNetwork) return invalid(`sysctl ${name} cannot be set in the host's network namespace`);
      network[name] = value;
    } else if (IPC.has(name) || name.startsWith('fs.mqueue.')) runtime[name] = value;
    else if (name === 'kernel.domainname') runtime[name] = value;
    else if (name === 'kernel.hostname') return invalid('sysctl kernel.hostname is set with --hostname');
    else return invalid(`sysctl ${name} is not separate for each container, so it is not allowed`);
  }
  return valid({ network, runtime });
}

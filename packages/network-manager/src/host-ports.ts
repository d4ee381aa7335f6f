import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { formatAddress, type Address } from './ipv4.js';
import type { Kernel } from './kernel.js';
import type { HostPortCheck, Protocol } from './port-table.js';

/** Finds out whether a process of the host listens on a port, by binding it for a moment, and which process that is. */
export function createHostPortCheck(kernel: Kernel): HostPortCheck {
  return (protocol, address, port) => {
    const refused = kernel.probePort(protocol === 'tcp', address, port);
    if (refused === null) return undefined;
    if (refused === 'EADDRNOTAVAIL') return `${formatAddress(address)} is not an address of this host`;
    if (refused === 'EADDRINUSE')
      return `${findListener(protocol, port) ?? 'a process of the host'} listens on it`;
    return `the host refuses it (${refused})`;
  };
}

/** "nginx (process 812)"; undefined when it cannot be told. Slow: only for the error message. */
function findListener(protocol: Protocol, port: number): string | undefined {
  const inodes = new Set<string>();
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  for (const table of [protocol, `${protocol}6`]) {
    for (const line of readLines(`/proc/net/${table}`)) {
      // proc_pid_net(5): sl, local address, remote address, state, …, inode; state 0A is LISTEN, 07 an unconnected UDP socket.
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(`:${wanted}`) === true && (fields[3] === '0A' || fields[3] === '07'))
        inodes.add(`socket:[${fields[9] ?? ''}]`);
    }
  }
  if (inodes.size === 0) return undefined;
  for (const pid of list('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    for (const fd of list(`/proc/${pid}/fd`)) {
      if (inodes.has(readLink(`/proc/${pid}/fd/${fd}`)))
        return `${readLines(`/proc/${pid}/comm`)[0] ?? 'a program'} (process ${pid})`;
    }
  }
  return undefined;
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** Free in every sense: for tests that have no kernel. */
export const noHostPorts: HostPortCheck = (_protocol: Protocol, _address: Address, _port: number) =>
  undefined;

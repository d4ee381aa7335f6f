import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { CAPABILITIES } from '@gantry/oci';
import type { Init, spawn } from '@gantry/protocol';
import { NAMESPACE_KINDS } from './host.js';

const MOST_MOUNTS = 100;

function lines(path: string): string[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))
    .filter((line) => line !== '');
}

function namespaceInode(pid: number | 'self', kind: string): number {
  return Number(/\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/${kind}`))?.[1] ?? 0);
}

function capabilityNames(mask: string | undefined): string[] {
  const bits = BigInt(`0x${mask ?? '0'}`);
  return CAPABILITIES.filter((_, number) => ((bits >> BigInt(number)) & 1n) === 1n);
}

/** "<target> <fstype> <options>" from a line of mountinfo. */
function mountLine(line: string): string {
  const [before = '', after = ''] = line.split(' - ');
  const fields = before.split(' ');
  return `${fields[4] ?? ''} ${after.split(' ')[0] ?? ''} ${fields[5] ?? ''}`;
}

/** What the kernel itself says of a process, for a person who wants to understand what isolates it. */
export function describeProcess(
  pid: number,
  seccompAllowedSyscalls: number,
): Init<spawn.DescribeContainerResponse> {
  const status = new Map(
    lines(`/proc/${pid}/status`).map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
    }),
  );
  return {
    pid,
    namespaces: NAMESPACE_KINDS.map((kind) => ({
      kind,
      inode: namespaceInode(pid, kind),
      hostInode: namespaceInode('self', kind),
    })),
    uidMap: lines(`/proc/${pid}/uid_map`),
    gidMap: lines(`/proc/${pid}/gid_map`),
    effectiveCapabilities: capabilityNames(status.get('CapEff')),
    boundingCapabilities: capabilityNames(status.get('CapBnd')),
    noNewPrivileges: status.get('NoNewPrivs') === '1',
    seccompMode: Number(status.get('Seccomp') ?? 0),
    seccompFilters: Number(status.get('Seccomp_filters') ?? 0),
    cgroups: lines(`/proc/${pid}/cgroup`),
    mounts: lines(`/proc/${pid}/mountinfo`).slice(0, MOST_MOUNTS).map(mountLine),
    hostUid: statSync(`/proc/${pid}`).uid,
    seccompAllowedSyscalls,
  };
}

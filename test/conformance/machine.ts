import { existsSync, readFileSync } from 'node:fs';

/** Whether limits are files of cgroup v2; here v1 and hybrid are the same. */
export const isUnified = existsSync('/sys/fs/cgroup/cgroup.controllers');

/** The numbers of the machine's first whole disk: what can be throttled, and what a container may not open by itself. */
export const rootDisk = firstDisk();

function firstDisk(): { readonly major: number; readonly minor: number } {
  const lines = readFileSync('/proc/partitions', 'utf8').split('\n');
  const disk = lines
    .map((line) => line.trim().split(/\s+/))
    .find(([, , , name]) => /^(vd|sd|xvd)[a-z]$|^nvme\d+n\d+$/.test(name ?? ''));
  return { major: Number(disk?.[0] ?? 7), minor: Number(disk?.[1] ?? 0) };
}

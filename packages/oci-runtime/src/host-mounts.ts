import { readFileSync } from 'node:fs';
import { namespaceFlag } from '@gantry/spawner/runtime';
import type { ContainerRecord } from './container-record.js';
import type { Runtime } from './runtime.js';

/** proc_pid_mountinfo(5) writes blanks and the like in octal. */
const unescape = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** How many mounts lie at exactly this place. Pure. */
export function countMountsAt(path: string, mountinfo: string): number {
  const bytes = Buffer.from(path).toString('latin1');
  return mountinfo.split('\n').filter((line) => unescape(line.split(' ')[4] ?? '') === bytes).length;
}

const readMounts = (): string => readFileSync('/proc/self/mountinfo', 'latin1');

/** Part of a record: what is mounted where the container's mounts will be, when they are the host's. */
export function hostMounts(rootfs: string, namespaces: bigint): { readonly mountsBefore?: number } {
  return (namespaces & namespaceFlag.mount) === 0n
    ? { mountsBefore: countMountsAt(rootfs, readMounts()) }
    : {};
}

/** A container without a mount namespace has left its root mounted on the host, with all its mounts beneath. */
export function detachHostMounts(runtime: Runtime, { rootfs, mountsBefore }: ContainerRecord): void {
  if (mountsBefore === undefined) return;
  for (let left = countMountsAt(rootfs, readMounts()) - mountsBefore; left > 0; left--)
    runtime.native.detachMount(rootfs);
}

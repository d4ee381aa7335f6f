import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isFrozen } from '@gantry/cgroup-supervisor/runtime';
import type { ContainerRecord } from './container-record.js';
import type { ContainerStore } from './container-store.js';

export type ContainerStatus = 'creating' | 'created' | 'running' | 'paused' | 'stopped';

/** Where a created container waits for its start. */
export const startSocketName = 'start.sock';

/** Whether the process with this pid is the one that started then, and has not ended. */
export function isAlive(pid: number, startTicks: string): boolean {
  if (pid <= 0) return false;
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return false;
  }
  // proc_pid_stat(5): the name may hold blanks and parentheses; state is the first field after it, the start the 20th.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // A zombie has ended and only waits to be reaped by whoever watches the container.
  return fields[0] !== 'Z' && fields[0] !== 'X' && fields[19] === startTicks;
}

/** What the container is doing, from its record and the kernel. */
export function statusOf(record: ContainerRecord, store: ContainerStore): ContainerStatus {
  if (record.phase === 'creating') return store.isHeld(record.id) ? 'creating' : 'stopped';
  if (!isAlive(record.pid, record.startTicks)) return 'stopped';
  if (record.cgroup !== undefined && isFrozen(record.cgroup)) return 'paused';
  const isWaiting =
    record.phase === 'created' && existsSync(join(store.directoryOf(record.id), startSocketName));
  return isWaiting ? 'created' : 'running';
}

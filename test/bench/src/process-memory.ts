import { readFileSync } from 'node:fs';

/** What one process holds, in KiB (proc_pid_smaps_rollup(5)). */
export interface ProcessMemory {
  /** Resident, shared pages counted in full. */
  readonly residentKiB: number;
  /** Resident, each shared page divided among those that share it. */
  readonly proportionalKiB: number;
  /** Pages that are this process' alone: what ending it would give back. */
  readonly privateKiB: number;
}

export function readMemory(pid: number): ProcessMemory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name: string): number => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text);
    if (match === null) throw new Error(`/proc/${pid}/smaps_rollup has no ${name}`);
    return Number(match[1]);
  };
  return {
    residentKiB: field('Rss'),
    proportionalKiB: field('Pss'),
    privateKiB: field('Private_Clean') + field('Private_Dirty'),
  };
}

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

/**
 * Resident memory of processes together, in KiB: what is theirs alone, and of each mapped file the pages of the process
 * that has most of it. Adding up their resident sizes would count the same pages of the same binary once for each.
 */
export function readMemoryTogether(pids: readonly number[]): number {
  let anonymous = 0;
  const files = new Map<string, number>();
  for (const pid of pids) {
    const own = readMappings(pid);
    anonymous += own.anonymous;
    for (const [file, kib] of own.files) files.set(file, Math.max(files.get(file) ?? 0, kib));
  }
  return anonymous + [...files.values()].reduce((total, kib) => total + kib, 0);
}

/** Anonymous KiB of one process, and the resident KiB of each file it maps, by device and inode (proc_pid_smaps(5)). */
function readMappings(pid: number): {
  readonly anonymous: number;
  readonly files: ReadonlyMap<string, number>;
} {
  let anonymous = 0;
  const files = new Map<string, number>();
  let file = '';
  let resident = 0;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ (\S+ \d+)/.exec(line);
    if (mapping !== null) file = mapping[1] ?? '';
    const field = /^(Rss|Anonymous):\s+(\d+) kB$/.exec(line);
    if (field?.[1] === 'Rss') resident = Number(field[2]);
    if (field?.[1] !== 'Anonymous') continue;
    anonymous += Number(field[2]);
    files.set(file, (files.get(file) ?? 0) + resident - Number(field[2]));
  }
  return { anonymous, files };
}

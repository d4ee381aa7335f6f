import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { listLogFiles } from './log-files.js';

/** Bytes on disk below a path, hard links counted once; what vanishes meanwhile does not count. */
export async function diskBytes(path: string, seen = new Set<string>()): Promise<number> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats === undefined) return 0;
  const key = `${stats.dev}:${stats.ino}`;
  if (seen.has(key)) return 0;
  if (stats.nlink > 1) seen.add(key);
  let total = stats.blocks * 512;
  if (!stats.isDirectory()) return total;
  for (const name of await readdir(path).catch(() => [])) total += await diskBytes(join(path, name), seen);
  return total;
}

/** Bytes of a container's log files. */
export async function logBytes(path: string): Promise<number> {
  let total = 0;
  for (const file of await listLogFiles(path)) total += await diskBytes(file);
  return total;
}

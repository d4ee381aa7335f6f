import { readFileSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { GantryError } from '@gantry/protocol';

/**
 * Removes everything in the run directory, and the directory itself when that is ours to remove. Throws
 * `failed_precondition` naming what is still mounted there: deleting through a mount would delete somebody's data.
 */
export function emptyRunDirectory(runDirectory: string): void {
  const mounts = mountsBelow(runDirectory);
  if (mounts.length > 0) {
    throw new GantryError({
      code: 'failed_precondition',
      operation: 'empty the run directory',
      object: runDirectory,
      message: `still mounted: ${mounts.join(', ')}`,
    });
  }
  for (const name of readdirSync(runDirectory))
    rmSync(join(runDirectory, name), { recursive: true, force: true });
  try {
    rmdirSync(runDirectory);
  } catch {
    // A mount point, or a directory that its maker wants to keep: empty is enough.
  }
}

/** Mount points strictly below the directory. */
export function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((target): target is string => target !== undefined)
    .map((target) =>
      target.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(parseInt(octal, 8))),
    )
    .filter((target) => target.startsWith(`${directory}/`));
}

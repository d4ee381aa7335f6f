import { renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { failure, messageOf } from './failure.js';

/** Whole or not at all: conmon and containerd read it the moment it is there. */
export function writePidFile(path: string | undefined, pid: number): void {
  if (path === undefined) return;
  const file = resolve(path);
  const aside = join(dirname(file), `.${basename(file)}.${process.pid}`);
  try {
    writeFileSync(aside, String(pid), { mode: 0o644 });
    renameSync(aside, file);
  } catch (error) {
    failure(`cannot write pid file ${file}: ${messageOf(error)}`);
  }
}

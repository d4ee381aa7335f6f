import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';

// Files of cgroupfs are made by the kernel as they are read: a read takes microseconds and never waits for a disk, so
// that reading on the event loop is cheaper than a trip through the thread pool. Slow writes are not made here.

const buffer = Buffer.allocUnsafe(64 * 1024);

/** The whole text of a small kernel file. Throws what the system call threw. */
export function readKernelFile(path: string): string {
  const descriptor = openSync(path, constants.O_RDONLY);
  try {
    let text = '';
    for (;;) {
      const length = readSync(descriptor, buffer, 0, buffer.length, null);
      if (length === 0) return text;
      text += buffer.toString('latin1', 0, length);
      // Only a list (of processes, of devices) fills a page; everything shorter is complete.
      if (length < 4000) return text;
    }
  } finally {
    closeSync(descriptor);
  }
}

/** As {@link readKernelFile}, with undefined for a file that is not there or has gone while it was read. */
export function readKernelFileIfPresent(path: string): string | undefined {
  try {
    return readKernelFile(path);
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

/** The words of a list such as cgroup.controllers; none when there is no such file. */
export function wordsOf(path: string): readonly string[] {
  return (readKernelFileIfPresent(path) ?? '').split(/\s+/).filter(Boolean);
}

/** Writes one value in one system call, as cgroupfs wants it. Throws what the system call threw. */
export function writeKernelFile(path: string, value: string): void {
  const descriptor = openSync(path, constants.O_WRONLY);
  try {
    writeSync(descriptor, value);
  } finally {
    closeSync(descriptor);
  }
}

/** The error's errno name, for instance "EBUSY"; empty when it is not from a system call. */
export function errnoName(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' ? code : '';
}

/** ENODEV is how a file of a cgroup just removed answers. */
export function isAbsence(error: unknown): boolean {
  const name = errnoName(error);
  return name === 'ENOENT' || name === 'ENODEV';
}

/** The sentence of an error without Node's path and call at its end. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message.replace(/^(E[A-Z0-9]+): ([^,]*), .*$/, '$2 ($1)');
}

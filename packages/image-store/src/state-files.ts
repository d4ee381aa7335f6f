import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { removeTree } from './native.js';

/** A name that nothing else has. */
export function temporaryName(): string {
  return randomBytes(8).toString('hex');
}

/** Writes a file so that readers and a power cut see the old content or the new, nothing between. */
export async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${temporaryName()}`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes renames and removals in a directory outlast a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Makes a directory that only root can enter. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/** Removes something and all below it, on a thread of its own; not being there is fine. */
export async function removePath(path: string): Promise<void> {
  const parent = await open(dirname(path), 'r');
  try {
    await removeTree(parent.fd, basename(path));
  } finally {
    await parent.close();
  }
}

/** Removes what an earlier run left behind in a directory for temporary things. */
export async function sweepDirectory(path: string): Promise<void> {
  await makePrivateDirectory(path);
  for (const name of await readdir(path)) await removePath(join(path, name));
}

/** Opens all paths for reading, and closes them again whatever happens. */
export async function withDescriptors<T>(
  paths: readonly string[],
  use: (...fds: number[]) => Promise<T>,
): Promise<T> {
  const files: FileHandle[] = [];
  try {
    for (const path of paths) files.push(await open(path, 'r'));
    return await use(...files.map(({ fd }) => fd));
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

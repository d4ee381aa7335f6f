import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GantryError, isGantryError, type common } from '@gantry/protocol';

const namePrefix = 'load-';

/** An archive on its way from a client to the image store. */
export interface SpooledFile {
  readonly handle: common.KernelHandle;
  /** Failures name the file; the client knows it as the archive it has sent. */
  rename<T>(messages: AsyncIterable<T>): AsyncIterable<T>;
  readonly bytes: number;
  /** Removes what the image store has not removed itself. */
  discard(): Promise<void>;
}

/** Makes the spool directory and removes what a killed predecessor has left in it. */
export async function openSpool(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const names = await readdir(directory);
  await Promise.all(
    names.filter((name) => name.startsWith(namePrefix)).map((name) => rm(join(directory, name))),
  );
}

/** Writes the body into a file of its own; leaves nothing when the client goes away or the disk is full. */
export async function spoolBody(
  directory: string,
  body: Readable,
  signal: AbortSignal,
): Promise<SpooledFile> {
  const path = join(directory, `${namePrefix}${randomUUID()}`);
  const discard = (): Promise<void> => rm(path, { force: true });
  try {
    await pipeline(body, createWriteStream(path, { flags: 'wx', mode: 0o600, highWaterMark: 1 << 20 }), {
      signal,
    });
    const { dev: device, ino: inode, size: bytes } = await stat(path);
    return {
      handle: { path, device, inode },
      bytes,
      discard,
      rename: (messages) => withoutPath(messages, path),
    };
  } catch (error) {
    await discard();
    throw describeFailure(error, directory);
  }
}

async function* withoutPath<T>(messages: AsyncIterable<T>, path: string): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    if (!isGantryError(error)) throw error;
    const { code, operation, retryable } = error;
    const message = error.message
      .replaceAll(`archive ${path}`, 'the archive')
      .replaceAll(path, 'the archive');
    throw new GantryError({ code, operation, retryable, message, object: 'archive', cause: error });
  }
}

function describeFailure(error: unknown, directory: string): GantryError {
  const { code, message } = error as NodeJS.ErrnoException;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new GantryError({
    code: full
      ? 'resource_exhausted'
      : code === 'ABORT_ERR' || code === 'ECONNRESET'
        ? 'unavailable'
        : 'internal',
    operation: 'LoadImage',
    object: directory,
    message: full
      ? `no space left in ${directory} for the image archive; free some with "gantry system prune"`
      : `cannot receive the image archive: ${message}`,
    cause: error,
  });
}

import { constants } from 'node:os';
import { GantryError } from '@gantry/protocol';
import { NativeFailure } from './native.js';

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
const fullDisk: readonly string[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];

function errnoNameOf(error: unknown): string | undefined {
  if (error instanceof NativeFailure)
    return error.errno === 0 ? undefined : (errnoNames.get(error.errno) ?? `errno ${error.errno}`);
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code !== undefined && Object.hasOwn(constants.errno, code) ? code : undefined;
}

/** True for "no such file or directory". */
export function isMissing(error: unknown): boolean {
  return errnoNameOf(error) === 'ENOENT';
}

/**
 * What went wrong while keeping something in `path`, as people should read it. A full disk is `resource_exhausted`; errors
 * that are no file system's pass unchanged.
 */
export function storageError(error: unknown, operation: string, path: string, doing: string): Error {
  if (error instanceof GantryError) return error;
  const name = errnoNameOf(error);
  if (name === undefined) return error instanceof Error ? error : new Error(String(error));
  if (fullDisk.includes(name))
    return new GantryError({
      code: 'resource_exhausted',
      operation,
      object: path,
      message: `no space left in ${path} while ${doing}: free some, for instance with image prune`,
      retryable: true,
      cause: error,
    });
  const code = name === 'EACCES' || name === 'EPERM' ? 'permission_denied' : 'internal';
  const detail =
    error instanceof NativeFailure ? `${error.message} ${JSON.stringify(error.path)}: ${name}` : name;
  return new GantryError({
    code,
    operation,
    object: path,
    message: `${doing} failed in ${path}: ${detail}`,
    cause: error,
  });
}

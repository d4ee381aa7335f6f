import { constants } from 'node:os';
import { GantryError, type ErrorCode } from '@gantry/protocol';

/** The shim itself was killed or did not answer: nothing is wrong with the request. */
export const SHIM_STAGE = 'start the shim';

/** Why the shim could not start a process: the step, the errno, and what it was about. */
export interface StartFailure {
  readonly stage: string;
  readonly errno: number;
  readonly path: string;
}

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EINVAL: 'refused by the kernel as invalid',
  ENOEXEC: 'not an executable format',
  EISDIR: 'is a directory',
  ENOTDIR: 'not a directory',
  ELOOP: 'too many symbolic links',
  ENOSPC: 'no space left',
  ENOMEM: 'out of memory',
  EAGAIN: 'a limit on processes was reached',
  ESRCH: 'no such process',
  ESTALE: 'replaced by another object since the request was made',
  ECHILD: 'killed on the way, perhaps for want of memory',
  E2BIG: 'too large',
  EBADMSG: 'the plan is damaged',
};

export function errnoText(errno: number): string {
  const name = ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
  const words = WORDS[name];
  return words === undefined ? name : `${words} (${name})`;
}

function codeOf({ stage, errno }: StartFailure): ErrorCode {
  const name = ERRNO_NAMES.get(errno);
  // `not_found` and `permission_denied` are for the command alone: exit codes 127 and 126 are told by them.
  if (stage === SHIM_STAGE) return 'unavailable';
  if (stage === 'execute') return name === 'ENOENT' || name === 'ENOTDIR' ? 'not_found' : 'permission_denied';
  if (name === 'ENOMEM' || name === 'EAGAIN' || name === 'ENOSPC' || name === 'ECHILD')
    return 'resource_exhausted';
  if (stage.startsWith('open ') || name === 'ESTALE' || name === 'ESRCH') return 'failed_precondition';
  if (name === 'EBADMSG') return 'internal';
  return 'invalid_argument';
}

/** The one error a failed start becomes. `object` is the command for `not_found` and `permission_denied`, else the container. */
export function startError(operation: string, id: string, failure: StartFailure): GantryError {
  const code = codeOf(failure);
  const reason = errnoText(failure.errno);
  if (failure.stage === 'execute') {
    const message =
      code === 'not_found'
        ? `command ${JSON.stringify(failure.path)} is not in the container`
        : `command ${JSON.stringify(failure.path)} cannot be executed: ${reason}`;
    return new GantryError({ code, operation, object: failure.path, message });
  }
  const about = failure.path === '' ? '' : ` ${failure.path}`;
  return new GantryError({
    code,
    operation,
    object: id,
    message: `cannot ${failure.stage}${about}: ${reason}`,
  });
}

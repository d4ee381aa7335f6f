import { GantryError, type ErrorCode } from '@gantry/protocol';
import { errnoNames, failureReason, SHIM_STAGE, type StartFailure } from './start-failure.js';

function codeOf({ stage, errno }: StartFailure): ErrorCode {
  const name = errnoNames().get(errno);
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
  const reason = failureReason(failure);
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

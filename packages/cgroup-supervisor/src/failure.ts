import { GantryError, type ErrorCode } from '@gantry/protocol';
import { reasonOf } from './cgroup-files.js';

/** A failed operation on one container's cgroup. */
export function cgroupFailure(
  code: ErrorCode,
  operation: string,
  object: string,
  message: string,
  cause?: unknown,
): GantryError {
  return new GantryError({ code, operation, object, message, cause });
}

/** Several errors as one sentence. */
export function joinReasons(errors: readonly unknown[]): string {
  return errors.map(reasonOf).join('; ');
}

import { GantryError, type ErrorCode } from '@gantry/protocol';

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

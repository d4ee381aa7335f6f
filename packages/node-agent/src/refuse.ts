import { GantryError, type ErrorCode } from '@gantry/protocol';

/** An error about one object, ready to be thrown. */
export function refusal(
  code: ErrorCode,
  operation: string,
  object: string,
  message: string,
  cause?: unknown,
): GantryError {
  return new GantryError({ code, operation, object, message, ...(cause === undefined ? {} : { cause }) });
}

/** What anything thrown says, as one sentence. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** No room, or no quota, for what was to be written. */
export function isDiskFull(error: unknown): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

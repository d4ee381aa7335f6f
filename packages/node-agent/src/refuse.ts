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

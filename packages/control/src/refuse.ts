import { GantryError, type ErrorCode } from '@gantry/protocol';

/** A refusal in the form of the house: code, what was asked, of what, and one sentence. */
export function refusal(code: ErrorCode, operation: string, object: string, message: string): GantryError {
  return new GantryError({ code, operation, object, message });
}

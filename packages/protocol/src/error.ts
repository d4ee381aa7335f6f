/** The fixed set of failure codes that callers may test. */
export type ErrorCode =
  | 'invalid_argument'
  | 'not_found'
  | 'already_exists'
  | 'failed_precondition'
  | 'resource_exhausted'
  | 'unavailable'
  | 'deadline_exceeded'
  | 'permission_denied'
  | 'data_loss'
  | 'internal';

export interface GantryErrorFields {
  readonly code: ErrorCode;
  /** What was being done, normally the method: "StartContainer". */
  readonly operation: string;
  /** One sentence naming the object; lower case, no full stop. */
  readonly message: string;
  /** Id, name or path of the object concerned. */
  readonly object?: string | undefined;
  /** True when the same request may succeed later without a change; by default true for `unavailable` and `deadline_exceeded`. */
  readonly retryable?: boolean | undefined;
  readonly cause?: unknown;
}

/** The one error of every package: test `code`, show `message`. */
export class GantryError extends Error {
  readonly code: ErrorCode;
  readonly operation: string;
  readonly object: string;
  readonly retryable: boolean;

  constructor(fields: GantryErrorFields) {
    super(fields.message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'GantryError';
    this.code = fields.code;
    this.operation = fields.operation;
    this.object = fields.object ?? '';
    this.retryable =
      fields.retryable ?? (fields.code === 'unavailable' || fields.code === 'deadline_exceeded');
  }
}

/** True for a GantryError, optionally of one code. */
export function isGantryError(error: unknown, code?: ErrorCode): error is GantryError {
  return error instanceof GantryError && (code === undefined || error.code === code);
}

/** Any thrown value as a GantryError: what is not one becomes `internal`. */
export function asGantryError(error: unknown, operation: string): GantryError {
  if (error instanceof GantryError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new GantryError({ code: 'internal', operation, message, cause: error });
}

/** What the api answered instead of doing the work. */
export class ApiFailure extends Error {
  /** One of the fixed codes: "not_found", "failed_precondition", ... */
  readonly code: string;
  readonly operation: string;
  readonly object: string;

  constructor(fields: {
    code: string;
    message: string;
    operation?: string;
    object?: string;
    cause?: unknown;
  }) {
    super(fields.message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.code = fields.code;
    this.operation = fields.operation ?? '';
    this.object = fields.object ?? '';
  }
}

/** There is nobody at the address: not now, and perhaps never. */
export class NobodyAnswers extends ApiFailure {
  constructor(fields: { object: string; message: string }) {
    super({ code: 'unavailable', ...fields });
  }
}

/** Words on the command line that make no sense. */
export class UsageFailure extends Error {}

/** Ends the command with this exit code; whatever there was to say has been said, or is the message. */
export class ExitWith extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message = '') {
    super(message);
    this.exitCode = exitCode;
  }
}

export const isApiFailure = (error: unknown, code?: string): error is ApiFailure =>
  error instanceof ApiFailure && (code === undefined || error.code === code);

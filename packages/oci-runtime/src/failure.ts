/** What ends a verb: one sentence for the log and for standard error, and the exit code. */
export class VerbFailure extends Error {
  override readonly name = 'VerbFailure';
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

export function failure(message: string, exitCode = 1): never {
  throw new VerbFailure(message, exitCode);
}

/** `ENOENT` and the like, of what Node throws. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

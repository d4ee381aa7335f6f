/** A spec that cannot be run as asked: one sentence naming what and why. Becomes `invalid_argument` at the handler. */
export class SpecRefusal extends Error {
  override readonly name = 'SpecRefusal';
}

export function refuse(sentence: string): never {
  throw new SpecRefusal(sentence);
}

/** Strings go into the plan NUL-terminated. */
export function withoutNul(value: string, what: string): string {
  return value.includes('\0') ? refuse(`${what} holds a NUL character`) : value;
}

/** A spec that cannot be run as asked: one sentence naming what and why. Becomes `invalid_argument` at the handler. */
export class SpecRefusal extends Error {
  override readonly name = 'SpecRefusal';
}

const LONGEST_SENTENCE = 600;
const CONTROL_CHARACTERS = /\p{Cc}/gu;

export function refuse(sentence: string): never {
  // What a spec holds gets into logs and onto terminals.
  const plain = sentence.replace(CONTROL_CHARACTERS, '\ufffd');
  throw new SpecRefusal(
    plain.length > LONGEST_SENTENCE
      ? `${plain.slice(0, LONGEST_SENTENCE - 100)}…${plain.slice(-100)}`
      : plain,
  );
}

/** Strings go into the plan NUL-terminated. */
export function withoutNul(value: string, what: string): string {
  return value.includes('\0') ? refuse(`${what} holds a NUL character`) : value;
}

/** Whether a key asks for anything: null, an empty string, list or object and `false` do not. */
export function isPresent(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

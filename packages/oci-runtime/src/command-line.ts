import { parseArgs } from 'node:util';
import { failure } from './failure.js';

/** One option of the command line. */
export interface Option {
  readonly name: string;
  readonly short?: string;
  /** `maybe`: a value only with "=", as crun's `--tty=TTY`. */
  readonly takes: 'nothing' | 'text' | 'maybe';
  /** What help calls the value. */
  readonly value?: string;
  readonly help: string;
}

/** What was given of a table's options. The last one counts, as in runc; `texts` has all. */
export class Given {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  flag(name: string): boolean {
    return this.#values.get(name)?.at(-1) === 'true';
  }

  text(name: string): string | undefined {
    const text = this.#values.get(name)?.at(-1);
    return text === '' ? undefined : text;
  }

  texts(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** A count from 0 up; 0 when not given. */
  count(name: string): number {
    const text = this.text(name) ?? '0';
    return /^\d{1,9}$/.test(text)
      ? Number(text)
      : failure(`invalid value ${JSON.stringify(text)} for flag --${name}: not a number from 0 up`);
  }
}

export interface ReadWords {
  readonly given: Given;
  readonly words: readonly string[];
}

const truths: Readonly<Record<string, string>> = {
  true: 'true',
  t: 'true',
  '1': 'true',
  false: 'false',
  f: 'false',
  '0': 'false',
};

function valueOf(option: Option, written: string, value: string | undefined): string {
  if (option.takes === 'text') return value ?? failure(`flag needs an argument: ${written}`);
  if (value === undefined || option.takes === 'maybe') return 'true';
  return (
    truths[value.toLowerCase()] ??
    failure(`invalid boolean value ${JSON.stringify(value)} for ${written}: neither true nor false`)
  );
}

/**
 * Reads options by a table. With `inOrder` they end at the first word that is none: it and all after it are left as they are
 * (a command's own options are not ours).
 */
export function readWords(words: readonly string[], table: readonly Option[], inOrder: boolean): ReadWords {
  const { tokens } = parseArgs({
    args: [...words],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      table.map(({ name, short, takes }) => [
        name,
        { type: takes === 'text' ? 'string' : 'boolean', ...(short === undefined ? {} : { short }) },
      ]),
    ),
  });
  const values = new Map<string, string[]>();
  const others: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') {
      if (inOrder) return { given: new Given(values), words: words.slice(token.index) };
      others.push(token.value);
    }
    if (token.kind !== 'option') continue;
    const option = table.find(({ name }) => name === token.name);
    if (option === undefined) failure(`flag provided but not defined: ${token.rawName}`);
    // parseArgs gives a boolean option that is followed by "=value" its value too.
    const value = valueOf(option, token.rawName, token.value);
    values.set(option.name, [...(values.get(option.name) ?? []), value]);
  }
  return { given: new Given(values), words: others };
}

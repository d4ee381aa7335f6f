import { interpolate, type Lookup } from './interpolate.js';

/** What a file of variables says, or its first wrong line. */
export type EnvFile =
  | {
      readonly ok: true;
      readonly values: ReadonlyMap<string, string | undefined>;
      readonly unset: readonly { readonly line: number; readonly name: string }[];
    }
  | { readonly ok: false; readonly line: number; readonly message: string };

/**
 * Reads NAME=VALUE lines as the Compose Specification has them: comments, `export`, single quotes that are literal, double
 * quotes with escapes, both over several lines, variables in all but single quotes. A name without = is undefined:
 * whoever asks takes it from the environment. `raw` takes each line as it stands.
 */
export function parseEnvFile(text: string, lookup: Lookup, raw = false): EnvFile {
  const values = new Map<string, string | undefined>();
  const unset: { line: number; name: string }[] = [];
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  // Variables also see what stands above them.
  const see: Lookup = (name) => lookup(name) ?? values.get(name);
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    const number = index + 1;
    const wrong = (message: string): EnvFile => ({ ok: false, line: number, message });
    if (/^\s*(?:#|$)/.test(line)) continue;
    const match = /^\s*(?:export\s+)?([A-Za-z0-9_.-]+)\s*(?:=(.*))?$/.exec(line);
    const name = match?.[1];
    if (match === null || name === undefined) return wrong('is not of the form NAME=VALUE');
    if (match[2] === undefined) {
      values.set(name, undefined);
      continue;
    }
    if (raw) {
      values.set(name, match[2]);
      continue;
    }
    let written = match[2].trimStart();
    const quote = /^["']/.exec(written)?.[0];
    if (quote === undefined) {
      written = written.replace(/(?:^|\s+)#.*$/, '').trimEnd();
    } else {
      const closing = quote === '"' ? /^"((?:[^"\\]|\\[^])*)"\s*(#.*)?$/ : /^'((?:[^'\\]|\\[^])*)'\s*(#.*)?$/;
      while (!closing.test(written)) {
        // A quote goes on over lines, but one that ends with more text behind it never closes.
        const next = lines[index + 1];
        if (next === undefined || written.length > 65_536) return wrong(`has a ${quote} that is not closed`);
        written += `\n${next}`;
        index += 1;
      }
      written = closing.exec(written)?.[1] ?? '';
    }
    if (quote === "'") {
      values.set(name, written.replaceAll("\\'", "'"));
      continue;
    }
    // An escaped dollar stands for itself: interpolation's own way to say so is two.
    const escaped = quote === '"' ? unescape(written) : written;
    const done = interpolate(escaped, see, (variable) => unset.push({ line: number, name: variable }));
    if (!done.ok) return wrong(done.message);
    values.set(name, done.text);
  }
  return { ok: true, values, unset };
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', $: '$$' };

const unescape = (text: string): string =>
  text.replace(/\\([^])/g, (whole, char: string) => escapes[char] ?? (/["'\\]/.test(char) ? char : whole));

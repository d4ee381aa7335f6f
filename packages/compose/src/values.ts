import { integerOf } from './tree.js';

/** A value, or what is wrong with the text: "is not a size (such as 64m)". */
export type Parsed<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string };

export const good = <T>(value: T): Parsed<T> => ({ ok: true, value });
export const bad = (why: string): Parsed<never> => ({ ok: false, why });

const shown = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);

const units: Readonly<Record<string, number>> = {
  '': 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};

/** "64m", "1.5g", "512", "1gb": docker's sizes, powers of 1024 whatever the spelling. */
export function parseBytes(text: string): Parsed<number> {
  const match = /^(\d{1,18}(?:\.\d{1,18})?) ?([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  const bytes = Math.floor(Number(match?.[1]) * (units[match?.[2]?.toLowerCase() ?? ''] ?? NaN));
  return Number.isSafeInteger(bytes)
    ? good(bytes)
    : bad(`is ${shown(text)}, not a size (such as 64m or 1.5g)`);
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 3.6e6,
};

/** "1m30s", "500ms", "0": milliseconds. */
export function parseDurationMs(text: string): Parsed<number> {
  if (text === '0') return good(0);
  const whole = text.length <= 64 && /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text);
  let total = 0;
  for (const [, number, unit] of whole ? text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g) : [])
    total += Number(number) * (unitMs[unit ?? ''] ?? NaN);
  const rounded = Math.round(total);
  return whole && Number.isSafeInteger(rounded)
    ? good(rounded)
    : bad(`is ${shown(text)}, not a duration (such as 30s, 1m30s or 500ms)`);
}

export interface Bounds {
  readonly minimum?: number;
  readonly maximum?: number;
}

export function parseInteger(
  text: string,
  { minimum = 0, maximum = Number.MAX_SAFE_INTEGER }: Bounds = {},
): Parsed<number> {
  const value = integerOf(text.trim());
  if (Number.isSafeInteger(value) && value >= minimum && value <= maximum) return good(value);
  if (maximum !== Number.MAX_SAFE_INTEGER)
    return bad(`is ${shown(text)}, not a whole number from ${minimum} to ${maximum}`);
  return bad(`is ${shown(text)}, not a whole number${minimum === 0 ? ' from 0 up' : ` from ${minimum} up`}`);
}

export function parseNumber(text: string, { minimum = 0, maximum = Infinity }: Bounds = {}): Parsed<number> {
  const value = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?$/.test(text.trim()) ? Number(text) : NaN;
  if (value >= minimum && value <= maximum) return good(value);
  const range = maximum === Infinity ? ` of ${minimum} or more` : ` from ${minimum} to ${maximum}`;
  return bad(`is ${shown(text)}, not a number${range}`);
}

/** Processors: "0.5". 0.01 is the least the kernel can give. */
export const parseCpus = (text: string): Parsed<number> => {
  const parsed = parseNumber(text, { minimum: 0.01, maximum: 65_536 });
  return parsed.ok
    ? parsed
    : bad(`is ${shown(text)}, not a number of processors of 0.01 or more (such as 0.5)`);
};

/** docker reads the words of YAML 1.1 too where it wants a boolean. */
export function parseBoolean(text: string): Parsed<boolean> {
  if (/^(?:true|yes|on|y|t|1)$/i.test(text)) return good(true);
  if (/^(?:false|no|off|n|f|0)$/i.test(text)) return good(false);
  return bad(`is ${shown(text)}, neither true nor false`);
}

export function parseOneOf<T extends string>(text: string, words: readonly T[]): Parsed<T> {
  const word = words.find((one) => one === text);
  return word === undefined
    ? bad(
        `is ${shown(text)}; ${words.length === 1 ? `only ${words.join('')} is done` : `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''} are done`}`,
      )
    : good(word);
}

/** A command line taken apart as a shell would, without its operators and variables. */
export function splitWords(text: string): Parsed<{ readonly words: string[]; readonly operators: string[] }> {
  const words: string[] = [];
  const operators: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (quote === "'") {
      if (char === quote) quote = '';
      else word = (word ?? '') + char;
    } else if (quote === '"') {
      const next = text.charAt(at + 1);
      if (char === quote) quote = '';
      else if (char === '\\' && /["\\$`\n]/.test(next)) {
        word = (word ?? '') + (next === '\n' ? '' : next);
        at += 1;
      } else word = (word ?? '') + char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= '';
    } else if (char === '\\') {
      const next = text.charAt(at + 1);
      if (next === '') return bad('ends with a backslash');
      if (next !== '\n') word = (word ?? '') + next;
      at += 1;
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      if (/[;&|<>]/.test(char)) operators.push(char);
      word = (word ?? '') + char;
    }
  }
  if (quote !== '') return bad(`has a ${quote} that is not closed`);
  if (word !== undefined) words.push(word);
  return good({ words, operators });
}

import { UsageFailure } from '../failures.js';

/**
 * As much of Go's text/template as `--format` is commonly used with: fields, json, len, join, upper, lower, index,
 * if/else, range, with. What is not here is refused by name.
 */
export type Template = (data: unknown) => string;

type Render = (data: unknown, root: unknown) => string;

interface Action {
  readonly keyword: string;
  readonly words: readonly string[];
}

type Token = { readonly text: string } | { readonly action: Action };

const functions: Readonly<Record<string, (...values: unknown[]) => unknown>> = {
  json: (value) => JSON.stringify(value ?? null),
  upper: (value) => show(value).toUpperCase(),
  lower: (value) => show(value).toLowerCase(),
  title: (value) => show(value).replace(/\b\w/g, (letter) => letter.toUpperCase()),
  join: (value, separator) => (Array.isArray(value) ? value.map(show).join(show(separator)) : show(value)),
  split: (value, separator) => show(value).split(show(separator)),
  len: (value) =>
    typeof value === 'object' && value !== null ? Object.keys(value).length : show(value).length,
  index: (value, ...keys) =>
    keys.reduce((at, key) => (at as Record<string, unknown> | undefined)?.[show(key)], value),
  println: (...values) => `${values.map(show).join(' ')}\n`,
  eq: (left, ...rights) => rights.some((right) => show(left) === show(right)),
  ne: (left, right) => show(left) !== show(right),
  not: (value) => !isTrue(value),
  and: (...values) => values.find((value) => !isTrue(value)) ?? values.at(-1),
  or: (...values) => values.find(isTrue) ?? values.at(-1),
};

/** Throws a UsageFailure that names what it does not understand. */
export function compileTemplate(source: string): Template {
  const tokens = tokenize(source.replaceAll('\\t', '\t').replaceAll('\\n', '\n'));
  const { render, rest, ended } = parseBlock(tokens, source);
  if (ended !== undefined || rest.length > 0) throw refuse(source, `has a lone {{${ended ?? 'end'}}}`);
  return (data) => render(data, data);
}

const refuse = (source: string, why: string): UsageFailure =>
  new UsageFailure(`--format: template "${source}" ${why}`);

function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (const match of source.matchAll(/\{\{(-?)\s*([\s\S]*?)\s*(-?)\}\}/g)) {
    tokens.push({ text: source.slice(at, match.index) });
    const words = match[2]?.match(/"(?:[^"\\]|\\.)*"|`[^`]*`|[()|]|[^\s()|]+/g) ?? [];
    const [keyword = ''] = words;
    if (!keyword.startsWith('/*')) tokens.push({ action: { keyword, words } });
    at = match.index + match[0].length;
  }
  const tail = source.slice(at);
  if (tail.includes('{{')) throw refuse(source, 'has an unclosed {{');
  tokens.push({ text: tail });
  return tokens;
}

interface Block {
  readonly render: Render;
  readonly rest: readonly Token[];
  /** "else" or "end" when the block ended with it. */
  readonly ended: string | undefined;
}

function parseBlock(tokens: readonly Token[], source: string): Block {
  const parts: Render[] = [];
  let left = tokens;
  for (;;) {
    const [token, ...rest] = left;
    left = rest;
    if (token === undefined) return { render: sequence(parts), rest: [], ended: undefined };
    if ('text' in token) {
      parts.push(() => token.text);
      continue;
    }
    const { keyword, words } = token.action;
    if (keyword === 'end' || keyword === 'else')
      return { render: sequence(parts), rest: left, ended: keyword };
    if (keyword === 'if' || keyword === 'range' || keyword === 'with') {
      const inner = parseBlock(left, source);
      let otherwise: Block | undefined;
      if (inner.ended === 'else') otherwise = parseBlock(inner.rest, source);
      const last = otherwise ?? inner;
      if (last.ended !== 'end') throw refuse(source, `lacks {{end}} for {{${keyword}}}`);
      left = last.rest;
      parts.push(branch(keyword, compilePipeline(words.slice(1), source), inner.render, otherwise?.render));
      continue;
    }
    const value = compilePipeline(words, source);
    parts.push((data, root) => show(value(data, root)));
  }
}

function branch(
  keyword: 'if' | 'range' | 'with',
  value: (data: unknown, root: unknown) => unknown,
  inner: Render,
  otherwise: Render = () => '',
): Render {
  return (data, root) => {
    const found = value(data, root);
    if (!isTrue(found)) return otherwise(data, root);
    if (keyword === 'if') return inner(data, root);
    if (keyword === 'with') return inner(found, root);
    return Object.values(found as Record<string, unknown>)
      .map((item) => inner(item, root))
      .join('');
  };
}

const sequence =
  (parts: readonly Render[]): Render =>
  (data, root) =>
    parts.map((part) => part(data, root)).join('');

type Evaluate = (data: unknown, root: unknown) => unknown;

function compilePipeline(words: readonly string[], source: string): Evaluate {
  const stages: string[][] = [[]];
  let depth = 0;
  for (const word of words) {
    depth += word === '(' ? 1 : word === ')' ? -1 : 0;
    if (word === '|' && depth === 0) stages.push([]);
    else stages.at(-1)?.push(word);
  }
  const compiled = stages.map((stage) => compileCall(stage, source));
  return (data, root) => compiled.reduce<unknown[]>((piped, stage) => [stage(data, root, piped)], []).at(0);
}

function compileCall(
  words: readonly string[],
  source: string,
): (data: unknown, root: unknown, piped: unknown[]) => unknown {
  const [name = '', ...rest] = words;
  const called = functions[name];
  if (called !== undefined) {
    const values = compileArguments(rest, source);
    return (data, root, piped) => called(...values.map((value) => value(data, root)), ...piped);
  }
  const [value, ...more] = compileArguments(words, source);
  if (value === undefined || more.length > 0)
    throw refuse(source, `has "${words.join(' ')}", which is not understood`);
  return value;
}

function compileArguments(words: readonly string[], source: string): Evaluate[] {
  const values: Evaluate[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (word !== '(') {
      values.push(compileOperand(word, source));
      continue;
    }
    let depth = 1;
    const inner: string[] = [];
    while (depth > 0) {
      at += 1;
      const next = words[at];
      if (next === undefined) throw refuse(source, 'has an unclosed parenthesis');
      depth += next === '(' ? 1 : next === ')' ? -1 : 0;
      if (depth > 0) inner.push(next);
    }
    values.push(compilePipeline(inner, source));
  }
  return values;
}

function compileOperand(word: string, source: string): Evaluate {
  if (word === '.') return (data) => data;
  if (word === '$') return (_data, root) => root;
  if (word.startsWith('"')) return () => JSON.parse(word) as unknown;
  if (word.startsWith('`')) return () => word.slice(1, -1);
  if (/^-?\d+$/.test(word)) return () => Number(word);
  if (word === 'true' || word === 'false') return () => word === 'true';
  const path = /^(\$?)((?:\.[A-Za-z_]\w*)+)$/.exec(word);
  if (path === null) throw refuse(source, `has "${word}", which is not understood`);
  const keys = (path[2] ?? '').slice(1).split('.');
  const fromRoot = path[1] === '$';
  return (data, root) => keys.reduce((at, key) => readField(at, key, source), fromRoot ? root : data);
}

function readField(value: unknown, key: string, source: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  if (!Object.hasOwn(value, key) && isListing(value))
    throw refuse(source, `names field "${key}"; there are ${Object.keys(value).join(', ')}`);
  return (value as Record<string, unknown>)[key];
}

/** Rows of listings have all their fields always; documents may leave some out. */
export const listingRow = Symbol('row of a listing');
const isListing = (value: object): boolean => Object.hasOwn(value, listingRow);

function isTrue(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false && value !== 0 && value !== '';
}

function show(value: unknown): string {
  if (value === undefined || value === null) return '<no value>';
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`;
  if (typeof value === 'object')
    return `map[${Object.entries(value)
      .map(([key, item]) => `${key}:${show(item)}`)
      .join(' ')}]`;
  return String(value as string | number | boolean);
}

import type { Findings } from './problems.js';
import { mapping, scalar, sequence, type Mapping, type Tree } from './tree.js';

export type Lookup = (name: string) => string | undefined;

/** What a text becomes, or why it cannot be read. */
export type Interpolated =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string };

const maximumDepth = 20;
/** Defaults that nest could double at each level. */
const maximumLength = 1024 * 1024;

class Refusal extends Error {}

/**
 * Variables of the Compose Specification: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?error}`,
 * `${NAME?error}`, `${NAME:+other}`, `${NAME+other}`, nested in each other; `$$` is a dollar. `onUnset` is told of
 * variables that have no value and no default.
 */
export function interpolate(text: string, lookup: Lookup, onUnset: (name: string) => void): Interpolated {
  if (!text.includes('$')) return { ok: true, text };
  const scanner = new Scanner(text, lookup, onUnset);
  try {
    return { ok: true, text: scanner.read(0, true) };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, message: error.message };
    throw error;
  }
}

class Scanner {
  readonly #text: string;
  readonly #lookup: Lookup;
  readonly #onUnset: (name: string) => void;
  #at = 0;

  constructor(text: string, lookup: Lookup, onUnset: (name: string) => void) {
    this.#text = text;
    this.#lookup = lookup;
    this.#onUnset = onUnset;
  }

  /** Up to the end, or inside braces up to the closing one. `wanted` is false for a branch that is not taken. */
  read(depth: number, wanted: boolean): string {
    if (depth > maximumDepth) throw new Refusal(`has variables nested more than ${maximumDepth} deep`);
    let out = '';
    while (this.#at < this.#text.length) {
      const char = this.#text.charAt(this.#at);
      if (depth > 0 && char === '}') break;
      this.#at += 1;
      out += char === '$' ? this.#variable(depth, wanted) : char;
      if (out.length > maximumLength) throw new Refusal('has variables that make it longer than 1 MiB');
    }
    return out;
  }

  #variable(depth: number, wanted: boolean): string {
    if (this.#text.charAt(this.#at) === '$') {
      this.#at += 1;
      return '$';
    }
    const braced = this.#text.charAt(this.#at) === '{';
    if (braced) this.#at += 1;
    const name = /^[A-Za-z_]\w*/.exec(this.#text.slice(this.#at, this.#at + 256))?.[0];
    if (name === undefined) throw this.#invalid();
    this.#at += name.length;
    const value = this.#lookup(name);
    if (!braced) return this.#valueOf(name, value, wanted);
    const operator = /^:?[-?+]/.exec(this.#text.slice(this.#at, this.#at + 2))?.[0] ?? '';
    this.#at += operator.length;
    const given = value !== undefined && (value !== '' || !operator.startsWith(':'));
    const kind = operator.at(-1);
    const wordWanted = wanted && (kind === '+' ? given : !given);
    const word = operator === '' ? '' : this.read(depth + 1, wordWanted);
    if (this.#text.charAt(this.#at) !== '}') throw this.#invalid();
    this.#at += 1;
    switch (kind) {
      case '-':
        return given ? value : word;
      case '+':
        return given ? word : '';
      case '?':
        if (!given && wanted)
          throw new Refusal(
            `needs variable ${name}, which is ${value === undefined ? 'not set' : 'empty'}${word === '' ? '' : `: ${word}`}`,
          );
        return value ?? '';
      default:
        return this.#valueOf(name, value, wanted);
    }
  }

  #valueOf(name: string, value: string | undefined, wanted: boolean): string {
    if (value === undefined && wanted) this.#onUnset(name);
    return value ?? '';
  }

  #invalid(): Refusal {
    const shown = this.#text.length > 60 ? `${this.#text.slice(0, 60)}...` : this.#text;
    return new Refusal(
      `has a $ that begins no variable in ${JSON.stringify(shown)} ($$ stands for a dollar)`,
    );
  }
}

/** The tree with the variables of its values replaced; keys are left as they are, and x-* with what is in them. */
export function interpolateTree(root: Mapping, lookup: Lookup, findings: Findings): Mapping {
  const values = (tree: Tree, key: string): Tree => {
    switch (tree.kind) {
      case 'scalar': {
        if (!tree.text.includes('$')) return tree;
        const done = interpolate(tree.text, lookup, (name) =>
          findings.warn(tree.place, key, `variable ${name} is not set: an empty text stands for it`),
        );
        if (done.ok) return scalar(done.text, true, tree.place);
        findings.unreadable(tree.place, key, done.message);
        return tree;
      }
      case 'sequence':
        return sequence(
          tree.items.map((item, index) => values(item, `${key}[${index}]`)),
          tree.place,
        );
      case 'mapping':
        return inside(tree, key);
    }
  };
  const inside = (tree: Mapping, key: string): Mapping => {
    const entries = [...tree.entries].map(([name, entry]) => {
      if (key === '' && name.startsWith('x-')) return [name, entry] as const;
      const value = values(entry.value, key === '' ? name : `${key}.${name}`);
      return [name, { ...entry, value }] as const;
    });
    return mapping(new Map(entries), tree.place);
  };
  return inside(root, '');
}

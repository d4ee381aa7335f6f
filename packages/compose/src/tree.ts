import type { Place } from './problems.js';

/**
 * A YAML value that knows where it was written. Trees are never changed; aliases share theirs, and `size` counts what
 * they would be written out.
 */
export type Tree = Scalar | Sequence | Mapping;

export interface Scalar {
  readonly kind: 'scalar';
  /** As written, without quotes. */
  readonly text: string;
  /** Quoted, in a block, or put together from variables: a string whatever it looks like. */
  readonly quoted: boolean;
  readonly place: Place;
  readonly size: 1;
}

export interface Sequence {
  readonly kind: 'sequence';
  readonly items: readonly Tree[];
  readonly place: Place;
  readonly size: number;
}

export interface Entry {
  readonly value: Tree;
  /** Where the key stands. */
  readonly place: Place;
}

export interface Mapping {
  readonly kind: 'mapping';
  readonly entries: ReadonlyMap<string, Entry>;
  readonly place: Place;
  readonly size: number;
}

export const scalar = (text: string, quoted: boolean, place: Place): Scalar => ({
  kind: 'scalar',
  text,
  quoted,
  place,
  size: 1,
});

export const sequence = (items: readonly Tree[], place: Place): Sequence => ({
  kind: 'sequence',
  items,
  place,
  size: items.reduce((sum, { size }) => sum + size, 1),
});

export const mapping = (entries: ReadonlyMap<string, Entry>, place: Place): Mapping => {
  let size = 1;
  for (const { value } of entries.values()) size += value.size;
  return { kind: 'mapping', entries, place, size };
};

/** What a scalar is by the core schema of YAML 1.2, with the octal numbers of YAML 1.1 that docker reads too. */
export type ScalarType = 'null' | 'boolean' | 'integer' | 'float' | 'string';

export function scalarType({ text, quoted }: Scalar): ScalarType {
  if (quoted) return 'string';
  if (/^(?:~|null|Null|NULL|)$/.test(text)) return 'null';
  if (/^(?:true|True|TRUE|false|False|FALSE)$/.test(text)) return 'boolean';
  if (/^[-+]?(?:\d+|0o[0-7]+|0x[\da-fA-F]+|0b[01]+)$/.test(text)) return 'integer';
  if (/^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/.test(text)) return 'float';
  if (/^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/.test(text)) return 'float';
  return 'string';
}

export const isNull = (tree: Tree): boolean => tree.kind === 'scalar' && scalarType(tree) === 'null';

/** An integer as YAML reads it: "0x10" is 16, "010" is 8. NaN for what is none. */
export function integerOf(text: string): number {
  const match = /^([-+]?)(0o?(?=[0-7]+$)|0x|0b)?([\da-fA-F]+)$/.exec(text);
  if (match === null) return NaN;
  const [, sign = '', prefix = '', digits = ''] = match;
  const base = prefix === '' ? 10 : prefix === '0x' ? 16 : prefix === '0b' ? 2 : 8;
  if (base === 10 && !/^\d+$/.test(digits)) return NaN;
  const value = parseInt(digits, base);
  return sign === '-' ? -value : value;
}

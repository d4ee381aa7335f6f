import type { Findings, Place } from './problems.js';
import { isNull, scalarType, type Mapping, type Scalar, type Tree } from './tree.js';
import {
  parseBoolean,
  parseBytes,
  parseCpus,
  parseDurationMs,
  parseInteger,
  parseNumber,
  parseOneOf,
  splitWords,
  type Bounds,
  type Parsed,
} from './values.js';

/**
 * A value under its key, for reading. A reader that finds something else than it wants says so in the findings and
 * answers undefined.
 */
export class Field {
  readonly tree: Tree;
  /** "services.web.ports[0]". */
  readonly key: string;
  /** Where to point at when the key, not its value, is meant. */
  readonly keyPlace: Place;
  readonly findings: Findings;

  constructor(tree: Tree, key: string, keyPlace: Place, findings: Findings) {
    this.tree = tree;
    this.key = key;
    this.keyPlace = keyPlace;
    this.findings = findings;
  }

  get isNull(): boolean {
    return isNull(this.tree);
  }

  get isMapping(): boolean {
    return this.tree.kind === 'mapping';
  }

  get isSequence(): boolean {
    return this.tree.kind === 'sequence';
  }

  refuse(message: string): undefined {
    return this.findings.problem(this.tree.place, this.key, message);
  }

  /** Says the same of the key itself. */
  refuseKey(message: string): undefined {
    return this.findings.problem(this.keyPlace, this.key, message);
  }

  warn(message: string): void {
    this.findings.warn(this.tree.place, this.key, message);
  }

  warnOnce(message: string): void {
    this.findings.warnOnce(this.keyPlace, this.key, message);
  }

  /** What stands under a key of this map; undefined when the key is absent or has no value. */
  get(name: string): Field | undefined {
    if (this.tree.kind !== 'mapping') return undefined;
    const field = this.#child(this.tree, name);
    return field === undefined || field.isNull ? undefined : field;
  }

  /** The same, also when it has no value. */
  getNullable(name: string): Field | undefined {
    return this.tree.kind === 'mapping' ? this.#child(this.tree, name) : undefined;
  }

  #child(tree: Mapping, name: string): Field | undefined {
    const entry = tree.entries.get(name);
    return entry === undefined
      ? undefined
      : new Field(entry.value, `${this.key}.${name}`, entry.place, this.findings);
  }

  /** Keys and values of a map, extensions left out unless any name is meant. */
  entries(what = 'a map'): readonly (readonly [string, Field])[] {
    if (this.tree.kind !== 'mapping') {
      if (!this.isNull) this.refuse(`is not ${what}`);
      return [];
    }
    return [...this.tree.entries].map(([name, { value, place }]) => [
      name,
      new Field(value, this.key === '' ? name : `${this.key}.${name}`, place, this.findings),
    ]);
  }

  items(what = 'a list'): readonly Field[] {
    if (this.tree.kind !== 'sequence') {
      if (!this.isNull) this.refuse(`is not ${what}`);
      return [];
    }
    return this.tree.items.map(
      (item, index) => new Field(item, `${this.key}[${index}]`, item.place, this.findings),
    );
  }

  /** One value or a list of them. */
  oneOrMany(what = 'a text or a list'): readonly Field[] {
    return this.tree.kind === 'scalar' ? (this.isNull ? [] : [this]) : this.items(what);
  }

  #scalar(what: string): Scalar | undefined {
    if (this.tree.kind === 'scalar' && !this.isNull) return this.tree;
    return this.refuse(`is not ${what}`);
  }

  /** A string. What YAML takes for something else is refused, as docker does: "user: 1000" is a number. */
  string(): string | undefined {
    const found = this.#scalar('a text');
    if (found === undefined) return undefined;
    const type = scalarType(found);
    if (type === 'string') return found.text;
    const kind = type === 'boolean' ? 'true or false' : 'a number';
    return this.refuse(`is ${found.text}, which YAML reads as ${kind}: put it in quotes`);
  }

  filled(): string | undefined {
    const text = this.string();
    return text === '' ? this.refuse('is empty') : text;
  }

  strings(): string[] {
    return this.items().flatMap((item) => item.string() ?? []);
  }

  /** A text or number where docker takes both, as docker writes it: YAML's 1.10 becomes "1.1". */
  printed(): string | undefined {
    const found = this.#scalar('a text or a number');
    if (found === undefined) return undefined;
    const { text } = found;
    const type = scalarType(found);
    const canonical =
      type === 'float' && Number.isFinite(Number(text))
        ? String(Number(text))
        : type === 'boolean'
          ? text.toLowerCase()
          : type === 'integer'
            ? plainInteger(text)
            : text;
    if (canonical !== text)
      this.warn(`is ${text}, which YAML reads as ${canonical}: put it in quotes to keep it as written`);
    return canonical;
  }

  /** The text as written, whatever YAML takes it for: for what is parsed further. */
  text(what = 'a text or a number'): string | undefined {
    return this.#scalar(what)?.text;
  }

  parse<T>(parse: (text: string) => Parsed<T>, what?: string): T | undefined {
    const text = this.text(what);
    if (text === undefined) return undefined;
    const parsed = parse(text);
    return parsed.ok ? parsed.value : this.refuse(parsed.why);
  }

  /** The same, of what YAML takes for a string. */
  parseString<T>(parse: (text: string) => Parsed<T>): T | undefined {
    const text = this.string();
    const parsed = text === undefined ? undefined : parse(text);
    return parsed === undefined || parsed.ok ? parsed?.value : this.refuse(parsed.why);
  }

  integer(bounds?: Bounds): number | undefined {
    return this.parse((text) => parseInteger(text, bounds), 'a number');
  }

  number(bounds?: Bounds): number | undefined {
    return this.parse((text) => parseNumber(text, bounds), 'a number');
  }

  boolean(): boolean | undefined {
    return this.parse(parseBoolean, 'true or false');
  }

  bytes(): number | undefined {
    return this.parse(parseBytes, 'a size (such as 64m)');
  }

  cpus(): number | undefined {
    return this.parse(parseCpus, 'a number of processors');
  }

  durationMs(): number | undefined {
    return this.parse(parseDurationMs, 'a duration (such as 30s)');
  }

  oneOf<T extends string>(words: readonly T[]): T | undefined {
    return this.parse((text) => parseOneOf(text, words), 'a text');
  }

  /** A command: a string is taken apart as a shell would, a list is taken as it is. */
  words(): string[] | undefined {
    if (this.tree.kind === 'sequence') return this.strings();
    const text = this.string();
    if (text === undefined) return undefined;
    const parsed = splitWords(text);
    if (!parsed.ok) return this.refuse(parsed.why);
    const [operator] = parsed.value.operators;
    if (operator !== undefined)
      this.warn(`has ${operator}, which no shell reads here: write ["sh", "-c", "..."] if one should`);
    return parsed.value.words;
  }

  /** A map of texts, or a list of NAME=VALUE; a null value is undefined. */
  pairs(separator: RegExp = /=/): Map<string, { readonly value: string | undefined; readonly field: Field }> {
    const found = new Map<string, { readonly value: string | undefined; readonly field: Field }>();
    if (this.tree.kind === 'sequence')
      for (const item of this.items()) {
        const text = item.string();
        if (text === undefined) continue;
        const at = text.search(separator);
        const name = at === -1 ? text : text.slice(0, at);
        if (name.trim() === '') item.refuse(`is ${JSON.stringify(text)}, which has no name`);
        else found.set(name, { value: at === -1 ? undefined : text.slice(at + 1), field: item });
      }
    else
      for (const [name, field] of this.entries('a map or a list')) {
        if (name === '') field.refuseKey('has no name');
        else found.set(name, { value: field.isNull ? undefined : field.printed(), field });
      }
    return found;
  }
}

const plainInteger = (text: string): string => {
  const prefixed = /^[-+]?0[obx\d]/.test(text);
  if (!prefixed) return text.replace(/^\+/, '');
  const match = /^([-+]?)0([obx]?)(.*)$/.exec(text);
  const base = match?.[2] === 'x' ? '0x' : match?.[2] === 'b' ? '0b' : '0o';
  const digits = match?.[3] ?? '';
  if (base === '0o' && !/^[0-7]+$/.test(digits)) return text;
  return `${match?.[1] === '-' ? '-' : ''}${BigInt(`${base}${digits}`)}`;
};

import { LineCounter, isAlias, isMap, isScalar, isSeq, parseDocument, type YAMLMap } from 'yaml';
import type { Findings, Place } from './problems.js';
import { isNull, mapping, scalar, sequence, type Entry, type Mapping, type Tree } from './tree.js';

/** A compose file is some kilobytes; one of this size is a mistake or an attack, and does not fit into a message. */
const maximumCharacters = 512 * 1024;
/** Values, aliases written out. */
const maximumValues = 100_000;
const maximumDepth = 64;
const tooDeep = 'the file is nested too deeply to be read';

class Unreadable extends Error {
  readonly place: Place;
  constructor(place: Place, message: string) {
    super(message);
    this.place = place;
  }
}

/** Reads one file's YAML. Undefined, and at least one problem, when that cannot be done. */
export function readYaml(file: string, text: string, findings: Findings): Mapping | undefined {
  const top: Place = { file, line: 1, column: 1 };
  if (text.length > maximumCharacters)
    return findings.problem(
      top,
      '',
      `the file is larger than 512 KiB (${Math.ceil(text.length / 1024).toLocaleString('en')} KiB): no compose file is`,
    );
  try {
    checkDepth(file, text);
    const tree = new Builder(file, text, findings).build();
    if (tree === undefined) return undefined;
    if (isNull(tree)) return findings.problem(top, '', 'the file is empty');
    if (tree.kind !== 'mapping')
      return findings.problem(tree.place, '', 'the file is not a map of keys (such as services:)');
    return tree;
  } catch (error) {
    if (error instanceof Unreadable) return findings.problem(error.place, '', error.message);
    // The parser recurses: what is nested too deeply for the check above ends here.
    if (error instanceof RangeError) return findings.problem(top, '', tooDeep);
    throw error;
  }
}

/** The parser takes quadratic time with depth, so what no compose file is goes before it. */
function checkDepth(file: string, text: string): void {
  let line = 0;
  for (const content of text.split('\n')) {
    line += 1;
    const opening = content.match(/[[{]/g)?.length ?? 0;
    const dashes = /^[ ]*(?:[-?] +)+/.exec(content)?.[0].match(/[-?]/g)?.length ?? 0;
    const indent = /^ */.exec(content)?.[0].length ?? 0;
    if (opening > 2_000 || dashes > maximumDepth || indent > 2_000)
      throw new Unreadable({ file, line, column: 1 }, tooDeep);
  }
}

/** Turns the parser's nodes into trees: aliases shared, merge keys merged, every place kept. */
class Builder {
  readonly #file: string;
  readonly #findings: Findings;
  readonly #lines = new LineCounter();
  readonly #text: string;
  /** Trees of anchors met so far; undefined while the anchor's own value is being built. */
  readonly #anchors = new Map<string, Tree | undefined>();

  #mergedKeys = 0;

  constructor(file: string, text: string, findings: Findings) {
    this.#file = file;
    this.#text = text;
    this.#findings = findings;
  }

  build(): Tree | undefined {
    // Types are judged later, from the text as written. Duplicates are looked for here: the parser compares each key
    // with each other one.
    const document = parseDocument(this.#text, {
      schema: 'failsafe',
      uniqueKeys: false,
      prettyErrors: false,
      lineCounter: this.#lines,
      logLevel: 'error',
    });
    // What the parser says after its first error comes of that one.
    const [first] = document.errors;
    if (first !== undefined)
      return this.#findings.problem(
        this.#placeAt(first.pos[0]),
        '',
        sentences[first.code] ?? `is no YAML: ${plain(first.message)}`,
      );
    if (document.contents === null) return scalar('', false, this.#placeAt(0));
    const tree = this.#build(document.contents, 0);
    if (tree.size > maximumValues) throw this.#tooMany();
    return tree;
  }

  #tooMany(): Unreadable {
    return new Unreadable(
      this.#placeAt(0),
      `the file has more than ${maximumValues.toLocaleString('en')} values, its aliases written out`,
    );
  }

  #placeAt(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line: Math.max(1, line), column: Math.max(1, col) };
  }

  #placeOf(node: unknown): Place {
    const range = (node as { range?: readonly number[] | null }).range;
    return this.#placeAt(range?.[0] ?? 0);
  }

  #build(node: unknown, depth: number): Tree {
    const place = this.#placeOf(node);
    if (depth > maximumDepth) throw new Unreadable(place, tooDeep);
    if (isAlias(node)) {
      if (!this.#anchors.has(node.source))
        throw new Unreadable(place, `alias *${node.source} has no anchor before it`);
      const tree = this.#anchors.get(node.source);
      if (tree === undefined)
        throw new Unreadable(place, `alias *${node.source} lies inside its own anchor and would never end`);
      return tree;
    }
    const anchor = (node as { anchor?: string }).anchor;
    if (anchor !== undefined) this.#anchors.set(anchor, undefined);
    const tree = this.#buildOwn(node, place, depth);
    if (anchor !== undefined) this.#anchors.set(anchor, tree);
    return tree;
  }

  #buildOwn(node: unknown, place: Place, depth: number): Tree {
    this.#checkTag((node as { tag?: string }).tag, place);
    if (isMap(node)) return this.#buildMapping(node, place, depth);
    if (isSeq(node))
      return sequence(
        node.items.map((item) => this.#build(item, depth + 1)),
        place,
      );
    if (!isScalar(node)) return scalar('', false, place);
    const asString = node.tag === 'tag:yaml.org,2002:str' || node.tag === '!';
    return scalar(String(node.value), asString || (node.type !== 'PLAIN' && node.type !== undefined), place);
  }

  #checkTag(tag: string | undefined, place: Place): void {
    if (tag === undefined || tag === '!' || tag.startsWith('tag:yaml.org,2002:')) return;
    this.#findings.problem(
      place,
      '',
      tag === '!reset' || tag === '!override'
        ? `tag ${tag} is not done by gantry stack deploy: write the file without it`
        : `tag ${tag} is not known`,
    );
  }

  #buildMapping(node: YAMLMap, place: Place, depth: number): Tree {
    const entries = new Map<string, Entry>();
    const merged: Mapping[] = [];
    for (const { key: keyNode, value: valueNode } of node.items) {
      const keyPlace = this.#placeOf(keyNode);
      const keyTree = this.#build(keyNode, depth + 1);
      const value = valueNode === null ? scalar('', false, keyPlace) : this.#build(valueNode, depth + 1);
      if (keyTree.kind !== 'scalar' || (keyTree.text === '' && !keyTree.quoted)) {
        this.#findings.problem(keyPlace, '', 'a key that is no word');
        continue;
      }
      const key = keyTree.text;
      if (key === '<<' && !keyTree.quoted) {
        merged.push(...this.#mergedMappings(value, keyPlace));
        continue;
      }
      const earlier = entries.get(key);
      if (earlier === undefined) entries.set(key, { value, place: keyPlace });
      else
        this.#findings.problem(
          keyPlace,
          '',
          `key ${JSON.stringify(key)} is given twice (first in line ${earlier.place.line})`,
        );
    }
    // Own keys stand above merged ones, earlier merged maps above later ones, wherever << is written.
    for (const { entries: others } of merged) {
      this.#mergedKeys += others.size;
      if (this.#mergedKeys > maximumValues) throw this.#tooMany();
      for (const [key, entry] of others) if (!entries.has(key)) entries.set(key, entry);
    }
    return mapping(entries, place);
  }

  #mergedMappings(value: Tree, place: Place): readonly Mapping[] {
    const sources = value.kind === 'sequence' ? value.items : [value];
    return sources.flatMap((source) => {
      if (source.kind === 'mapping') return [source];
      this.#findings.problem(place, '', 'merge key << takes a map, an alias of one, or a list of these');
      return [];
    });
  }
}

const sentences: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab indents this line; YAML takes spaces only',
  RESOURCE_EXHAUSTION: tooDeep,
  MULTIPLE_DOCS: 'a second document begins here; a compose file has one',
};

const plain = (message: string): string =>
  message.replace(/\.?$/, '').replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase());

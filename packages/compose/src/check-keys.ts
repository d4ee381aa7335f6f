import { composeKeys, type ComposeKey } from './keys.js';
import type { Findings, Place } from './problems.js';
import { isNull, type Mapping, type Tree } from './tree.js';

/** The table of keys as a tree, so that a file is checked in one walk. */
interface Branch {
  readonly children: Map<string, Branch>;
  key?: ComposeKey;
}

const trunk: Branch = { children: new Map() };
for (const key of composeKeys) {
  let branch = trunk;
  for (const step of key.path.replaceAll('[]', '.[]').split('.')) {
    const next = branch.children.get(step) ?? { children: new Map() };
    branch.children.set(step, next);
    branch = next;
  }
  branch.key = key;
}

/** Says which keys of a file are unknown, not done, or without a value. */
export function checkKeys(root: Mapping, findings: Findings): void {
  const walk = (tree: Tree, branch: Branch, key: string): void => {
    if (tree.kind === 'scalar') return;
    if (tree.kind === 'sequence') {
      const item = branch.children.get('[]');
      if (item !== undefined) tree.items.forEach((value, index) => walk(value, item, `${key}[${index}]`));
      return;
    }
    const any = branch.children.get('*');
    // A map without known keys is free (labels), or stands where none belongs: whoever reads the value says so.
    if (branch.children.size === 0 || (any === undefined && [...branch.children.keys()].join() === '[]'))
      return;
    for (const [name, { value, place }] of tree.entries) {
      const path = key === '' ? name : `${key}.${name}`;
      if (any === undefined && name.startsWith('x-')) continue;
      const below = branch.children.get(name) ?? any;
      if (below === undefined) findings.problem(place, path, `unknown key${suggest(name, branch.children)}`);
      else if (judge(below, path, value, place)) walk(value, below, path);
    }
  };
  const judge = ({ key }: Branch, path: string, value: Tree, place: Place): boolean => {
    if (key?.status === 'refused')
      findings.problem(place, path, `is not done by gantry stack deploy: ${key.note}`);
    else if (isNull(value) && key !== undefined && !key.nullable)
      findings.problem(place, path, 'has no value: give it one, or leave the key out');
    else return true;
    return false;
  };
  walk(root, trunk, '');
}

/** " (did you mean build?)", or nothing when no known word is near. */
export function suggest(word: string, known: ReadonlySet<string> | ReadonlyMap<string, unknown>): string {
  // Of names that a file brings there may be thousands: looking for each in all of them takes minutes.
  if (known.size > 200) return '';
  const near = [...known.keys()]
    .filter((candidate) => /^[A-Za-z]/.test(candidate) && candidate.length > 2)
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.floor(candidate.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0];
  return near === undefined ? '' : ` (did you mean ${near.candidate}?)`;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
function editDistance(from: string, to: string): number {
  if (Math.abs(from.length - to.length) > 4) return Infinity;
  let before: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row += 1) {
    const next = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      let least = Math.min(
        (last[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      if (row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1])
        least = Math.min(least, (before[column - 2] ?? 0) + 1);
      next.push(least);
    }
    [before, last] = [last, next];
  }
  return last[to.length] ?? Infinity;
}

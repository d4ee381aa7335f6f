import { UsageFailure } from '../failures.js';
import { checkFilter } from './pairs.js';

/** For an option that may be given several times. */
export const gather = (value: string, before: string[] = []): string[] => [...before, value];

/** What a filter's value says of an item. */
export type Fits<T> = (item: T, value: string) => boolean;

/** Docker's --filter: one of the values of each key must fit. A key that is not done is refused by name. */
export function filterBy<T>(
  texts: readonly string[] | undefined,
  keys: Readonly<Record<string, Fits<T>>>,
): (item: T) => boolean {
  const values = new Map<string, string[]>();
  for (const text of texts ?? []) {
    const [, key = '', value = ''] = /^([^=]+)=(.*)$/.exec(checkFilter(text)) ?? [];
    if (keys[key] === undefined)
      throw new UsageFailure(`--filter: "${key}" is not done; ${Object.keys(keys).join(', ')} are`);
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  return (item) =>
    [...values].every(([key, some]) => some.some((value) => keys[key]?.(item, value) ?? false));
}

/** `label=KEY` or `label=KEY=VALUE`. */
export function hasLabel(labels: Readonly<Record<string, string>>, text: string): boolean {
  const at = text.indexOf('=');
  const label = labels[at === -1 ? text : text.slice(0, at)];
  return label !== undefined && (at === -1 || label === text.slice(at + 1));
}

import type { DeviceRule } from './device-rules.js';

/** v1's form of the rules: everything or nothing, and exceptions from it that do not know an order. */
export interface DeviceList {
  readonly allowsAll: boolean;
  /** "c 1:3" to "rwm". */
  readonly exceptions: ReadonlyMap<string, string>;
}

export type ListOrProblem = DeviceList | { readonly problem: string };

/**
 * Brings rules in order into v1's list. What is inside a later rule's reach goes with it; a hole in a wider exception
 * is what v1 cannot say, and is refused: the kernel would take the rule and not do as it says.
 */
export function deviceListOf(rules: readonly DeviceRule[]): ListOrProblem {
  let allowsAll = false;
  const exceptions = new Map<string, Exception>();
  for (const rule of rules) {
    if (rule.type === 'a') {
      allowsAll = rule.allow;
      exceptions.clear();
      continue;
    }
    const key = keyOf(rule);
    if (rule.allow !== allowsAll) {
      exceptions.set(key, { rule, access: union(exceptions.get(key)?.access ?? '', rule.access) });
      continue;
    }
    for (const [otherKey, other] of exceptions) {
      if (isInside(other.rule, rule)) {
        const left = without(other.access, rule.access);
        if (left === '') exceptions.delete(otherKey);
        else exceptions.set(otherKey, { ...other, access: left });
      } else if (isInside(rule, other.rule) && without(other.access, rule.access) !== other.access) {
        const verb = rule.allow ? 'allow' : 'deny';
        return {
          problem: `the rule "${verb} ${key} ${rule.access}" makes a hole in "${otherKey}", which v1 cannot`,
        };
      }
    }
  }
  return {
    allowsAll,
    exceptions: new Map([...exceptions].map(([key, { access }]) => [key, access])),
  };
}

interface Exception {
  readonly rule: DeviceRule;
  readonly access: string;
}

export interface DeviceWrite {
  readonly file: 'devices.allow' | 'devices.deny';
  readonly value: string;
}

/**
 * The writes that lead from what `devices.list` says to this list. Between two lists of exceptions from "nothing" only
 * the differences are written: a device allowed before and after is at no time closed.
 */
export function deviceWrites(target: DeviceList, current: string): readonly DeviceWrite[] {
  const [own, other] = target.allowsAll
    ? (['devices.deny', 'devices.allow'] as const)
    : (['devices.allow', 'devices.deny'] as const);
  const writes: DeviceWrite[] = [];
  const known = parseDeviceList(current);
  const isSameBase = !target.allowsAll && !known.allowsAll;
  if (!isSameBase) writes.push({ file: target.allowsAll ? 'devices.allow' : 'devices.deny', value: 'a' });
  const before = isSameBase ? known.exceptions : new Map<string, string>();
  for (const [key, access] of before) {
    const gone = without(access, target.exceptions.get(key) ?? '');
    if (gone !== '') writes.push({ file: other, value: `${key} ${gone}` });
  }
  for (const [key, access] of target.exceptions) {
    const more = without(access, before.get(key) ?? '');
    if (more !== '') writes.push({ file: own, value: `${key} ${more}` });
  }
  return writes;
}

/** devices.list; "a *:* rwm" alone is "everything", and then the kernel does not tell the exceptions. */
export function parseDeviceList(text: string): DeviceList {
  const exceptions = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([abc]) (\S+) ([rwm]+)$/.exec(line.trim());
    if (match === null) continue;
    const [, type, numbers, access] = match;
    if (type === 'a') return { allowsAll: true, exceptions: new Map() };
    exceptions.set(`${type} ${numbers}`, access ?? '');
  }
  return { allowsAll: false, exceptions };
}

function keyOf({ type, major, minor }: DeviceRule): string {
  return `${type} ${major ?? '*'}:${minor ?? '*'}`;
}

/** Whether every device of one rule is one of the other's. */
function isInside(inner: DeviceRule, outer: DeviceRule): boolean {
  const covers = (wide: number | undefined, narrow: number | undefined): boolean =>
    wide === undefined || wide === narrow;
  return inner.type === outer.type && covers(outer.major, inner.major) && covers(outer.minor, inner.minor);
}

function union(a: string, b: string): string {
  return [...'rwm'].filter((letter) => a.includes(letter) || b.includes(letter)).join('');
}

function without(a: string, b: string): string {
  return [...a].filter((letter) => !b.includes(letter)).join('');
}

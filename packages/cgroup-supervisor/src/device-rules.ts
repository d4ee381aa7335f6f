import { DEFAULT_DEVICE_RULES, type RuntimeDeviceCgroup } from '@gantry/oci';

/** One rule of the runtime-spec's `linux.resources.devices`, checked. Of the rules for a device the last one counts. */
export interface DeviceRule {
  readonly allow: boolean;
  /** "a" is everything, and then nothing else narrows the rule. */
  readonly type: 'a' | 'b' | 'c';
  /** Undefined: all. */
  readonly major: number | undefined;
  readonly minor: number | undefined;
  /** Some of "rwm". */
  readonly access: string;
}

export type RulesOrProblem = { readonly rules: readonly DeviceRule[] } | { readonly problem: string };

/** Reads the rules out of a request; nothing at all means docker's list. */
export function readDeviceRules(json: Uint8Array): RulesOrProblem {
  if (json.length === 0) return checkDeviceRules(DEFAULT_DEVICE_RULES, 'devices_json');
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(json).toString('utf8'));
  } catch (error) {
    return { problem: `devices_json is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  return Array.isArray(parsed)
    ? checkDeviceRules(parsed, 'devices_json')
    : { problem: 'devices_json is not a JSON array' };
}

/** `linux.resources.devices`, with what every container may use behind the spec's own rules, which mostly begin with "nothing". */
export function readContainerRules(own: readonly RuntimeDeviceCgroup[]): RulesOrProblem {
  const [nothing, ...allowed] = DEFAULT_DEVICE_RULES;
  const rules = [...(nothing === undefined ? [] : [nothing]), ...own];
  const read = checkDeviceRules([...rules, ...allowed], 'linux.resources.devices');
  // The caller counts its own.
  if (!('problem' in read)) return read;
  return { problem: read.problem.replace(/\[(\d+)\]/, (_all, index) => `[${Number(index) - 1}]`) };
}

/** @param what names the list in a problem */
export function checkDeviceRules(values: readonly unknown[], what: string): RulesOrProblem {
  const rules: DeviceRule[] = [];
  for (const [index, value] of values.entries()) {
    const read = readRule(value);
    if (typeof read === 'string') return { problem: `${what}[${index}] ${read}` };
    rules.push(...read);
  }
  return { rules };
}

function readRule(value: unknown): readonly DeviceRule[] | string {
  if (typeof value !== 'object' || value === null) return 'is not an object';
  const { allow, type, major, minor, access } = value as Record<string, unknown>;
  if (typeof allow !== 'boolean') return 'lacks the boolean "allow"';
  const kind = type ?? 'a';
  if (kind !== 'a' && kind !== 'b' && kind !== 'c' && kind !== 'u')
    return `has the type ${JSON.stringify(type)}: it is "a", "b" or "c"`;
  const accessText = access ?? 'rwm';
  if (typeof accessText !== 'string' || !/^[rwm]{1,3}$/.test(accessText))
    return `has the access ${JSON.stringify(access)}: it is made of r, w and m`;
  const numbers = [deviceNumber(major), deviceNumber(minor)];
  if (numbers.includes('bad')) return 'has a device number that is not a whole number';
  const [majorNumber, minorNumber] = numbers as readonly (number | undefined)[];
  const rule = { allow, major: majorNumber, minor: minorNumber, access: inOrder(accessText) };
  // An unbuffered character device is a character device.
  if (kind !== 'a') return [{ ...rule, type: kind === 'u' ? 'c' : kind }];
  // The kernel takes "a" for everything whatever stands behind it: a narrower rule must not widen silently.
  if (majorNumber !== undefined || minorNumber !== undefined || rule.access.length < 3)
    return [
      { ...rule, type: 'b' },
      { ...rule, type: 'c' },
    ];
  return [{ ...rule, type: 'a' }];
}

function inOrder(access: string): string {
  return [...'rwm'].filter((letter) => access.includes(letter)).join('');
}

/** Absent and -1 mean any. */
function deviceNumber(value: unknown): number | undefined | 'bad' {
  if (value === undefined || value === null || value === -1) return undefined;
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7fffffff
    ? value
    : 'bad';
}

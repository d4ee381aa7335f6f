import { DEFAULT_DEVICE_RULES } from '@gantry/oci';

/** One entry of v1's devices.allow or devices.deny. */
export interface DeviceRule {
  readonly allow: boolean;
  /** "c 1:3 rwm" */
  readonly entry: string;
}

export type RulesOrProblem = { readonly rules: readonly DeviceRule[] } | { readonly problem: string };

/** Reads the runtime-spec's `linux.resources.devices`; nothing at all means docker's list. */
export function readDeviceRules(json: Uint8Array): RulesOrProblem {
  if (json.length === 0) return readRules(DEFAULT_DEVICE_RULES);
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(json).toString('utf8'));
  } catch (error) {
    return { problem: `devices_json is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  return Array.isArray(parsed) ? readRules(parsed) : { problem: 'devices_json is not a JSON array' };
}

function readRules(values: readonly unknown[]): RulesOrProblem {
  const rules: DeviceRule[] = [];
  for (const [index, value] of values.entries()) {
    const rule = readRule(value);
    if (typeof rule === 'string') return { problem: `devices_json[${index}] ${rule}` };
    rules.push(rule);
  }
  return { rules };
}

function readRule(value: unknown): DeviceRule | string {
  if (typeof value !== 'object' || value === null) return 'is not an object';
  const { allow, type = 'a', major, minor, access = 'rwm' } = value as Record<string, unknown>;
  if (typeof allow !== 'boolean') return 'lacks the boolean "allow"';
  if (type !== 'a' && type !== 'b' && type !== 'c')
    return `has the type ${JSON.stringify(type)}: it is "a", "b" or "c"`;
  if (typeof access !== 'string' || !/^[rwm]{1,3}$/.test(access))
    return `has the access ${JSON.stringify(access)}: it is made of r, w and m`;
  const majorText = deviceNumber(major);
  const minorText = deviceNumber(minor);
  if (majorText === undefined || minorText === undefined)
    return 'has a device number that is not a whole number';
  // The kernel takes "a" for everything whatever stands behind it: a narrower rule must not widen silently.
  if (type === 'a' && (majorText !== '*' || minorText !== '*' || access.length < 3))
    return 'narrows the type "a": use "b" and "c" for single devices';
  return { allow, entry: type === 'a' ? 'a' : `${type} ${majorText}:${minorText} ${access}` };
}

/** Absent and -1 mean any. */
function deviceNumber(value: unknown): string | undefined {
  if (value === undefined || value === null || value === -1) return '*';
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? String(value) : undefined;
}

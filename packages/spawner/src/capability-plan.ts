import { CAPABILITIES, type RuntimeCapabilities } from '@gantry/oci';
import { planTag, type PlanWriter } from './plan-format.js';

const SETS = ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'] as const;
type CapabilitySet = (typeof SETS)[number];

const ALL = (1n << 64n) - 1n;

function namesIn(mask: bigint): string {
  return CAPABILITIES.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n).join(', ');
}

function maskOf(names: readonly string[], set: CapabilitySet, warn: (sentence: string) => void): bigint {
  let mask = 0n;
  for (const name of names) {
    const number = CAPABILITIES.indexOf(name);
    if (number < 0)
      warn(
        `process.capabilities.${set} has ${JSON.stringify(name)}, which is not a capability here: left out`,
      );
    else mask |= 1n << BigInt(number);
  }
  return mask;
}

/**
 * The five sets, less what cannot be given: the specification wants a warning for that, not a failure.
 * `held` are the capabilities of this process, which cannot give what it has not.
 */
export function writeCapabilities(
  plan: PlanWriter,
  capabilities: RuntimeCapabilities,
  held: bigint | undefined,
  warn: (sentence: string) => void,
): void {
  const asked = (set: CapabilitySet): bigint => maskOf(capabilities[set] ?? [], set, warn);
  const within = (set: CapabilitySet, mask: bigint, limit: bigint, why: string): bigint => {
    const beyond = mask & ~limit;
    if (beyond !== 0n) warn(`process.capabilities.${set} has ${namesIn(beyond)}, ${why}: left out`);
    return mask & limit;
  };
  const gantry = 'which Gantry itself does not have';
  const grantable = held ?? ALL;
  const bounding = asked('bounding');
  const permitted = within('permitted', asked('permitted'), grantable, gantry);
  // capset(2) and the ambient set's own rule (capabilities(7)).
  const effective = within(
    'effective',
    within('effective', asked('effective'), grantable, gantry),
    permitted,
    'which is not in the permitted set',
  );
  const inheritable = within(
    'inheritable',
    within('inheritable', asked('inheritable'), grantable, gantry),
    bounding,
    'which is not in the bounding set',
  );
  const ambient = within(
    'ambient',
    within('ambient', asked('ambient'), grantable, gantry),
    permitted & inheritable,
    'which is not in both the permitted and the inheritable set',
  );
  plan.add(planTag.capabilities, (record) =>
    record.u64(bounding).u64(effective).u64(inheritable).u64(permitted).u64(ambient),
  );
}

import type { RuntimeMemory, WideInteger } from '@gantry/oci';

/** Zero is how the runtime-spec's users say "not set". */
export function asked(value: WideInteger | undefined): bigint | undefined {
  const whole = value === undefined || value === null ? 0n : BigInt(value);
  return whole === 0n ? undefined : whole;
}

/** A limit as text; every negative one is "unlimited" in the hierarchy's own word. */
export function limitText(value: bigint, unlimited: '-1' | 'max'): string {
  return value < 0n ? unlimited : String(value);
}

/**
 * v2 limits swap by itself, the runtime-spec (as v1) memory and swap together.
 *
 * @returns the swap alone, -1 for unlimited, undefined for "not asked for", or why it cannot be
 */
export function swapAlone(memory: RuntimeMemory): bigint | undefined | string {
  const swap = asked(memory.swap);
  const limit = asked(memory.limit);
  // Unlimited memory without a word on swap means both.
  if (swap === undefined) return limit !== undefined && limit < 0n ? -1n : undefined;
  if (swap < 0n) return -1n;
  if (limit === undefined || limit < 0n) return `memory.swap ${swap} needs memory.limit beside it`;
  if (swap < limit) return `memory.swap ${swap} is below memory.limit ${limit}: it is memory plus swap`;
  return swap - limit;
}

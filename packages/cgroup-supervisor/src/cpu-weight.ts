/** Bounds and default of v1's cpu.shares. */
export const sharesRange = { min: 2, max: 262_144, default: 1024 } as const;
/** Bounds and default of v2's cpu.weight. */
export const weightRange = { min: 1, max: 10_000, default: 100 } as const;

// The curve through (2, 1), (1024, 100) and (262144, 10000) in logarithms, which OCI runtimes agreed on in 2025;
// the straight line they used before turned the default of 1024 shares into weight 39 instead of 100.
const slope = 125;
const divisor = 612;
const offset = 7 / 34;
/** What the floating point may be off by when the curve meets an integer. */
const tolerance = 1e-9;

/** v2's cpu.weight for v1's shares. Both ends and the default map onto each other exactly. */
export function weightFromShares(shares: number): number {
  if (shares <= sharesRange.min) return weightRange.min;
  if (shares >= sharesRange.max) return weightRange.max;
  const logarithm = Math.log2(shares);
  const exponent = (logarithm * logarithm + slope * logarithm) / divisor - offset;
  return Math.ceil(10 ** exponent - tolerance);
}

/** The largest number of shares that gives this weight: the inverse of {@link weightFromShares}. */
export function sharesFromWeight(weight: number): number {
  if (weight <= weightRange.min) return sharesRange.min;
  if (weight >= weightRange.max) return sharesRange.max;
  const target = divisor * (Math.log10(weight) + offset);
  const logarithm = (Math.sqrt(slope * slope + 4 * target) - slope) / 2;
  return Math.min(sharesRange.max, Math.floor(2 ** logarithm + tolerance));
}

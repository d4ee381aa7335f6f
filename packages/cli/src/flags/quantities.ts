import { UsageFailure } from '../failures.js';

const binaryUnits: Readonly<Record<string, number>> = {
  '': 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};

/** "64m", "1.5g", "512", "10MiB": docker's sizes, powers of 1024 whatever the spelling. */
export function parseSize(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  const bytes = Math.floor(Number(match?.[1]) * (binaryUnits[match?.[2]?.toLowerCase() ?? ''] ?? NaN));
  if (!Number.isSafeInteger(bytes))
    throw new UsageFailure(`${flag}: "${text}" is not a size (such as 64m or 1.5g)`);
  return bytes;
}

/** A size, or -1 for "no limit". */
export const parseSizeOrUnlimited = (text: string, flag: string): number =>
  text.trim() === '-1' ? -1 : parseSize(text, flag);

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 3.6e6,
};

/** Go's durations, "1h2m3.5s" or "500ms", in milliseconds. */
export function parseDuration(text: string, flag: string): number {
  if (text === '0') return 0;
  const whole = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text);
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g))
    total += Number(number) * (unitMs[unit ?? ''] ?? NaN);
  const rounded = Math.round(total);
  if (!whole || !Number.isSafeInteger(rounded))
    throw new UsageFailure(`${flag}: "${text}" is not a duration (such as 30s, 1m30s or 500ms)`);
  return rounded;
}

export function parseInteger(
  text: string,
  flag: string,
  { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = {},
): number {
  const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value) || value < minimum || value > maximum)
    throw new UsageFailure(
      `${flag}: "${text}" is not a whole number${maximum === Number.MAX_SAFE_INTEGER ? (minimum > 0 ? ` from ${minimum} up` : '') : ` from ${minimum} to ${maximum}`}`,
    );
  return value;
}

export const cpuPeriodUs = 100_000;

/** "0.5" processors as microseconds of every 100 ms. */
export function parseCpus(text: string, flag: string): number {
  const cpus = /^\d*\.?\d+$|^\d+\.$/.test(text) ? Number(text) : NaN;
  const quota = Math.round(cpus * cpuPeriodUs);
  if (!(quota >= 1_000) || !Number.isSafeInteger(quota))
    throw new UsageFailure(`${flag}: "${text}" is not a number of processors of 0.01 or more (such as 0.5)`);
  return quota;
}

/** A moment for --since and --until: "10m" ago, RFC 3339, a date, or seconds since 1970; in nanoseconds. */
export function parseMoment(text: string, flag: string, nowMs: number): number {
  if (/^\d{1,12}(\.\d+)?$/.test(text)) return Math.round(Number(text) * 1e9);
  if (/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text))
    return Math.round((nowMs - parseDuration(text, flag)) * 1e6);
  // Without an offset docker means local time, as Date does for all but bare dates.
  const bareDate = /^\d{4}-\d{2}-\d{2}$/.test(text);
  const parsed = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(bareDate ? `${text}T00:00:00` : text) : NaN;
  if (Number.isNaN(parsed))
    throw new UsageFailure(
      `${flag}: "${text}" is neither a duration (10m), nor a time (2026-01-31T12:00:00Z), nor seconds since 1970`,
    );
  return parsed * 1e6;
}

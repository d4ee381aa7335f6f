import { type Checked, invalid, valid } from './checked.js';
import type { RuntimeRlimit } from './runtime-spec.js';

/** RLIM_INFINITY as the runtime-spec writes it. A JavaScript number rounds it to 2^64: readers compare with `>=`. */
export const RLIMIT_INFINITY = 18446744073709551615;

const NAMES = new Set(
  'as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(
    ' ',
  ),
);

export interface UlimitWish {
  /** Without `RLIMIT_`, lower case. */
  readonly name: string;
  /** -1 means unlimited. */
  readonly soft: number;
  readonly hard: number;
}

function rlimitValue(value: number): number {
  return value === -1 ? RLIMIT_INFINITY : value;
}

/** Ulimits as `process.rlimits`; a later one of a name replaces an earlier. */
export function resolveUlimits(wishes: readonly UlimitWish[]): Checked<readonly RuntimeRlimit[]> {
  const limits = new Map<string, RuntimeRlimit>();
  for (const { name, soft, hard } of wishes) {
    if (!NAMES.has(name)) return invalid(`ulimit ${JSON.stringify(name)} is not known`);
    if (!Number.isInteger(soft) || !Number.isInteger(hard) || soft < -1 || hard < -1)
      return invalid(`ulimit ${name} is not a whole number or -1`);
    if (hard !== -1 && (soft === -1 || soft > hard))
      return invalid(`ulimit ${name} has a soft limit ${soft} above its hard limit ${hard}`);
    limits.set(name, {
      type: `RLIMIT_${name.toUpperCase()}`,
      soft: rlimitValue(soft),
      hard: rlimitValue(hard),
    });
  }
  return valid([...limits.values()]);
}

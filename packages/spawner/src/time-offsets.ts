import type { RuntimeLinux } from '@gantry/oci';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse } from './refusal.js';

const CLOCKS = new Set(['monotonic', 'boottime']);
const LARGEST_SECONDS = (1n << 63n) - 1n;
const NANOSECONDS = 1_000_000_000;

/** What is written to /proc/<pid>/timens_offsets (time_namespaces(7)). `made`: the time namespace is a new one of the container's. */
export function writeTimeOffsets(
  plan: PlanWriter,
  offsets: NonNullable<RuntimeLinux['timeOffsets']>,
  made: boolean,
): void {
  const lines = Object.entries(offsets).map(([clock, { secs = 0, nanosecs = 0 }]) => {
    if (!CLOCKS.has(clock))
      refuse(`linux.timeOffsets has ${JSON.stringify(clock)}, which is neither monotonic nor boottime`);
    if (typeof secs === 'number' && !Number.isSafeInteger(secs))
      refuse(`linux.timeOffsets.${clock}.secs is ${secs}, which is not a whole number`);
    const seconds = BigInt(secs);
    if (seconds > LARGEST_SECONDS || seconds < -LARGEST_SECONDS - 1n)
      refuse(`linux.timeOffsets.${clock}.secs is ${secs}, which has more than 64 bits`);
    if (!Number.isInteger(nanosecs) || nanosecs < 0 || nanosecs >= NANOSECONDS)
      refuse(`linux.timeOffsets.${clock}.nanosecs is ${nanosecs}, which is not below a second`);
    return `${clock} ${seconds} ${nanosecs}\n`;
  });
  if (lines.length === 0) return;
  if (!made) refuse('linux.timeOffsets is given, but linux.namespaces has no new time namespace');
  plan.add(planTag.timeOffsets, (record) => record.string(lines.join('')));
}

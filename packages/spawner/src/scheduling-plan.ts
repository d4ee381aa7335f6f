import type { RuntimeLinux, RuntimeProcess, RuntimeScheduler, WideInteger } from '@gantry/oci';
import { parseNumberList } from './number-list.js';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse } from './refusal.js';

/** linux/sched.h. */
const POLICIES: ReadonlyMap<string, number> = new Map([
  ['SCHED_OTHER', 0],
  ['SCHED_FIFO', 1],
  ['SCHED_RR', 2],
  ['SCHED_BATCH', 3],
  ['SCHED_ISO', 4],
  ['SCHED_IDLE', 5],
  ['SCHED_DEADLINE', 6],
]);
const SCHEDULER_FLAGS: ReadonlyMap<string, bigint> = new Map([
  ['SCHED_FLAG_RESET_ON_FORK', 0x01n],
  ['SCHED_FLAG_RECLAIM', 0x02n],
  ['SCHED_FLAG_DL_OVERRUN', 0x04n],
  ['SCHED_FLAG_KEEP_POLICY', 0x08n],
  ['SCHED_FLAG_KEEP_PARAMS', 0x10n],
  ['SCHED_FLAG_UTIL_CLAMP_MIN', 0x20n],
  ['SCHED_FLAG_UTIL_CLAMP_MAX', 0x40n],
]);

/** linux/ioprio.h. */
const IO_CLASSES: ReadonlyMap<string, number> = new Map([
  ['IOPRIO_CLASS_RT', 1],
  ['IOPRIO_CLASS_BE', 2],
  ['IOPRIO_CLASS_IDLE', 3],
]);
const IO_CLASS_SHIFT = 13;

/** linux/mempolicy.h. */
const MEMORY_MODES: ReadonlyMap<string, number> = new Map([
  ['MPOL_DEFAULT', 0],
  ['MPOL_PREFERRED', 1],
  ['MPOL_BIND', 2],
  ['MPOL_INTERLEAVE', 3],
  ['MPOL_LOCAL', 4],
  ['MPOL_PREFERRED_MANY', 5],
  ['MPOL_WEIGHTED_INTERLEAVE', 6],
]);
const MEMORY_FLAGS: ReadonlyMap<string, number> = new Map([
  ['MPOL_F_STATIC_NODES', 1 << 15],
  ['MPOL_F_RELATIVE_NODES', 1 << 14],
  ['MPOL_F_NUMA_BALANCING', 1 << 13],
]);
const WITHOUT_NODES = new Set(['MPOL_DEFAULT', 'MPOL_LOCAL']);
const WITH_OR_WITHOUT_NODES = new Set(['MPOL_PREFERRED']);

/** linux/personality.h. */
const PERSONALITIES: ReadonlyMap<string, number> = new Map([
  ['LINUX', 0],
  ['LINUX32', 8],
]);

const NICE_POLICIES = new Set(['SCHED_OTHER', 'SCHED_BATCH']);
const PRIORITY_POLICIES = new Set(['SCHED_FIFO', 'SCHED_RR']);

function named<T>(values: ReadonlyMap<string, T>, name: unknown, what: string): T {
  return (
    (typeof name === 'string' ? values.get(name) : undefined) ??
    refuse(`${what} is ${JSON.stringify(name)}, which is none of ${[...values.keys()].join(', ')}`)
  );
}

function wholeNumber(value: number, least: number, most: number, what: string): number {
  if (!Number.isInteger(value) || value < least || value > most)
    refuse(`${what} is ${value}, which is not from ${least} to ${most}`);
  return value;
}

function nanoseconds(value: WideInteger | undefined, what: string): bigint {
  if (value === undefined) return 0n;
  if (value < 0 || value >= 2 ** 64)
    refuse(`${what} is ${value}, which is not a number of 64 bits from 0 up`);
  return BigInt(value);
}

const LEAST_RUNTIME = 1024n;
const MOST_RUNTIME = (1n << 63n) - 1n;

/** What the kernel answers with a bare EINVAL (sched(7)). The words are those that the field's other runtimes have for it. */
function checkDeadline(scheduler: RuntimeScheduler, runtime: bigint, deadline: bigint, period: bigint): void {
  const at = 'process.scheduler cannot be set: sched_setattr: `SCHED_DEADLINE`';
  if (scheduler.runtime === undefined) refuse(`${at} requires \`runtime\``);
  if (scheduler.deadline === undefined) refuse(`${at} requires \`deadline\``);
  if (runtime === 0n) refuse(`${at} runtime must be greater than 0`);
  if (runtime < LEAST_RUNTIME || runtime > MOST_RUNTIME)
    refuse(`${at} runtime ${runtime} must be between ${LEAST_RUNTIME} and ${MOST_RUNTIME}`);
  if (runtime > deadline) refuse(`${at} runtime ${runtime} must be <= deadline ${deadline}`);
  if (period !== 0n && deadline > period) refuse(`${at} deadline ${deadline} must be <= period ${period}`);
}

function writeScheduler(plan: PlanWriter, scheduler: RuntimeScheduler): void {
  const at = 'process.scheduler';
  const { policy } = scheduler;
  const number = named(POLICIES, policy, `${at}.policy`);
  const nice = wholeNumber(scheduler.nice ?? 0, -(2 ** 31), 2 ** 31 - 1, `${at}.nice`);
  if (NICE_POLICIES.has(policy)) wholeNumber(nice, -20, 19, `${at}.nice`);
  const priority = wholeNumber(scheduler.priority ?? 0, 0, 2 ** 31 - 1, `${at}.priority`);
  if (priority !== 0 && !PRIORITY_POLICIES.has(policy))
    refuse(`${at}.priority is for SCHED_FIFO and SCHED_RR, not for ${policy}`);
  let flags = 0n;
  for (const flag of scheduler.flags ?? []) flags |= named(SCHEDULER_FLAGS, flag, `${at}.flags`);
  const runtime = nanoseconds(scheduler.runtime, `${at}.runtime`);
  const deadline = nanoseconds(scheduler.deadline, `${at}.deadline`);
  const period = nanoseconds(scheduler.period, `${at}.period`);
  if (policy === 'SCHED_DEADLINE') checkDeadline(scheduler, runtime, deadline, period);
  if (policy !== 'SCHED_DEADLINE' && (runtime | deadline | period) !== 0n)
    refuse(`${at} has runtime, deadline or period, which are for SCHED_DEADLINE, not for ${policy}`);
  plan.add(planTag.scheduler, (record) =>
    record
      .string(policy)
      .u32(number)
      .u32(nice)
      .u32(priority)
      .u64(flags)
      .u64(runtime)
      .u64(deadline)
      .u64(period),
  );
}

function writeMemoryPolicy(plan: PlanWriter, policy: NonNullable<RuntimeLinux['memoryPolicy']>): void {
  const at = 'linux.memoryPolicy';
  let mode = named(MEMORY_MODES, policy.mode, `${at}.mode`);
  const nodes = parseNumberList(policy.nodes ?? '', `${at}.nodes`);
  if (nodes.length > 0 && WITHOUT_NODES.has(policy.mode)) refuse(`${at} ${policy.mode} takes no nodes`);
  if (nodes.length === 0 && !WITHOUT_NODES.has(policy.mode) && !WITH_OR_WITHOUT_NODES.has(policy.mode))
    refuse(`${at} ${policy.mode} has no nodes`);
  for (const flag of policy.flags ?? []) mode |= named(MEMORY_FLAGS, flag, `${at}.flags`);
  plan.add(planTag.memoryPolicy, (record) => record.string(policy.mode).u32(mode).bytes(nodes));
}

/** What the first process and every further one of a container have in common. */
export type ExecutionDomain = Pick<RuntimeLinux, 'personality' | 'memoryPolicy'>;

/** Scheduler, I/O priority, CPU affinity, personality and memory policy. */
export function writeScheduling(
  plan: PlanWriter,
  process: RuntimeProcess,
  domain: ExecutionDomain,
  warn: (sentence: string) => void,
): void {
  const { scheduler, ioPriority, execCPUAffinity } = process;
  if (scheduler !== undefined) writeScheduler(plan, scheduler);
  if (ioPriority !== undefined) {
    const io = named(IO_CLASSES, ioPriority.class, 'process.ioPriority.class');
    const priority = wholeNumber(ioPriority.priority ?? 0, 0, 7, 'process.ioPriority.priority');
    plan.add(planTag.ioPriority, (record) =>
      record.string(ioPriority.class).u32((io << IO_CLASS_SHIFT) | priority),
    );
  }
  if (execCPUAffinity !== undefined) {
    const [initial, final] = (['initial', 'final'] as const).map((when) =>
      parseNumberList(execCPUAffinity[when] ?? '', `process.execCPUAffinity.${when}`),
    );
    plan.add(planTag.cpuAffinity, (record) =>
      record.bytes(initial ?? Buffer.alloc(0)).bytes(final ?? Buffer.alloc(0)),
    );
  }
  const { personality, memoryPolicy } = domain;
  if (personality !== undefined) {
    const persona = named(PERSONALITIES, personality.domain, 'linux.personality.domain');
    // The specification has none; other runtimes leave them out, too.
    for (const flag of personality.flags ?? [])
      warn(`linux.personality.flags has ${JSON.stringify(flag)}, which is not known: left out`);
    plan.add(planTag.personality, (record) => record.string(personality.domain).u32(persona));
  }
  if (memoryPolicy !== undefined) writeMemoryPolicy(plan, memoryPolicy);
}

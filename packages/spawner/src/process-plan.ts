import type { RuntimeLinux, RuntimeProcess, RuntimeRlimit, WideInteger } from '@gantry/oci';
import { writeCapabilities } from './capability-plan.js';
import { planTag, type PlanWriter } from './plan-format.js';
import { refuse, withoutNul } from './refusal.js';
import { type ExecutionDomain, writeScheduling } from './scheduling-plan.js';
import type { PlannedSeccomp } from './seccomp.js';
import { type SecurityModules, writeSecurityLabels } from './security-labels.js';

/** asm-generic/resource.h, the same on x86-64 and arm64. */
const RLIMITS: ReadonlyMap<string, number> = new Map(
  [
    'CPU', 'FSIZE', 'DATA', 'STACK', 'CORE', 'RSS', 'NPROC', 'NOFILE',
    'MEMLOCK', 'AS', 'LOCKS', 'SIGPENDING', 'MSGQUEUE', 'NICE', 'RTPRIO', 'RTTIME',
  ].map((name, number) => [`RLIMIT_${name}`, number]),
); // prettier-ignore

const INFINITY = (1n << 64n) - 1n;
const DEFAULT_UMASK = 0o022;
const LARGEST_ID = 0xfffffffe;
/** NGROUPS_MAX. */
const MOST_GROUPS = 65536;
const NO_MODULES: SecurityModules = { apparmor: false, selinux: false };

function limitValue(value: WideInteger, type: string): bigint {
  if (!(value >= 0)) refuse(`process.rlimits has ${type} with a limit that is not a number from 0 up`);
  // A writer without wide integers rounds "unlimited" up to 2^64.
  if (value >= 2 ** 64) return INFINITY;
  return typeof value === 'bigint' ? value : BigInt(Math.trunc(value));
}

function idOf(value: unknown, what: string): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > LARGEST_ID)
    refuse(`${what} is ${JSON.stringify(value)}, which is not a user or group id`);
  return value as number;
}

function writeRlimits(plan: PlanWriter, rlimits: readonly RuntimeRlimit[]): void {
  const seen = new Set<string>();
  for (const { type, soft, hard } of rlimits) {
    const resource =
      RLIMITS.get(type) ??
      refuse(`process.rlimits has ${JSON.stringify(type)}, which is not a resource limit`);
    if (seen.has(type)) refuse(`process.rlimits has ${type} twice`);
    seen.add(type);
    if (soft > hard) refuse(`process.rlimits has ${type} with a soft limit above its hard one`);
    plan.add(planTag.rlimit, (record) =>
      record.u32(resource).u64(limitValue(soft, type)).u64(limitValue(hard, type)).string(type),
    );
  }
}

/** The last of a name counts, as for a shell: getenv(3) would find the first. Pure. */
function lastOfEachName(pairs: readonly string[]): readonly string[] {
  const byName = new Map<string, string>();
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    byName.set(equals < 0 ? pair : pair.slice(0, equals), pair);
  }
  return [...byName.values()];
}

/** What a process depends on besides its own description. Absent facts of the machine are left to init to find out. */
export interface ProcessSurroundings {
  /** `linux` of the container that the process is in. */
  readonly domain?: (ExecutionDomain & Partial<Pick<RuntimeLinux, 'namespaces'>>) | undefined;
  readonly host?: ProcessHost | undefined;
  /** There is nothing to execute: the container can be created, and no more. */
  readonly isAbsent?: boolean;
  /** Told what is left out without failing the start. */
  readonly warn?: ((sentence: string) => void) | undefined;
}

/** What processes depend on of this machine and of Gantry itself. */
export interface ProcessHost {
  readonly modules?: SecurityModules;
  readonly heldCapabilities?: bigint;
}

/** The part of a plan that is the same for a container's first process and an exec. */
export function writeProcess(
  plan: PlanWriter,
  process: RuntimeProcess,
  seccomp: PlannedSeccomp | undefined,
  surroundings: ProcessSurroundings,
): void {
  const args = (process.args ?? []).map((argument) => withoutNul(argument, 'process.args'));
  if (args.length === 0 && surroundings.isAbsent !== true) refuse('process.args is empty');
  if (args[0] === '') refuse('process.args[0] is empty');
  if (typeof process.cwd !== 'string' || !process.cwd.startsWith('/'))
    refuse(`process.cwd is ${JSON.stringify(process.cwd)}, which is not an absolute path`);
  if (process.user === undefined) refuse('process.user is missing');
  const { uid, gid, umask, additionalGids = [] } = process.user;
  if (additionalGids.length > MOST_GROUPS)
    refuse(`process.user.additionalGids has more than ${MOST_GROUPS} groups`);

  plan
    .add(planTag.arguments, (record) => record.strings(args))
    .add(planTag.environment, (record) =>
      record.strings(lastOfEachName(process.env ?? []).map((pair) => withoutNul(pair, 'process.env'))),
    )
    .add(planTag.workingDirectory, (record) => record.string(withoutNul(process.cwd, 'process.cwd')))
    .add(planTag.user, (record) => {
      record
        .u32(idOf(uid, 'process.user.uid'))
        .u32(idOf(gid, 'process.user.gid'))
        .u32((umask ?? DEFAULT_UMASK) & 0o777)
        .u32(additionalGids.length);
      for (const group of additionalGids) record.u32(idOf(group, 'process.user.additionalGids'));
    });
  const { domain = {}, host = {}, warn = () => {} } = surroundings;
  // Whoever is in a user namespace of the container's has all of them there.
  const isInside = domain.namespaces?.some(({ type }) => type === 'user') === true;
  writeCapabilities(plan, process.capabilities ?? {}, isInside ? undefined : host.heldCapabilities, warn);
  writeRlimits(plan, process.rlimits ?? []);
  const { oomScoreAdj, consoleSize } = process;
  if (oomScoreAdj !== undefined) {
    if (!Number.isInteger(oomScoreAdj) || Math.abs(oomScoreAdj) > 1000)
      refuse(`process.oomScoreAdj is ${oomScoreAdj}, which is not from -1000 to 1000`);
    plan.add(planTag.oomScoreAdj, (record) => record.u32(oomScoreAdj));
  }
  writeScheduling(plan, process, domain, warn);
  writeSecurityLabels(plan, process, host.modules ?? NO_MODULES);
  if (process.terminal === true && consoleSize !== undefined)
    plan.add(planTag.window, (record) => record.u32(consoleSize.height).u32(consoleSize.width));
  if (seccomp !== undefined)
    plan.add(planTag.seccomp, (record) => record.u32(seccomp.flags).bytes(seccomp.program));
}

import { type Checked, invalid, valid } from './checked.js';
import { parseLossless, type WideInteger } from './lossless-json.js';
import type {
  RuntimeSeccomp,
  SeccompAction,
  SeccompArgument,
  SeccompOperator,
  SeccompRule,
} from './runtime-spec.js';
import aarch64 from './seccomp/aarch64.json' with { type: 'json' };
import common from './seccomp/common.json' with { type: 'json' };
import x8664 from './seccomp/x86_64.json' with { type: 'json' };

/** One annotated entry of the profile files; `why` is for the reader. */
interface ProfileGroup {
  readonly why: string;
  readonly names: readonly string[];
  /** Allowed when one of these is kept; refused with EPERM otherwise (or left to the default with `otherwise: leave`). */
  readonly whenCapability?: readonly string[];
  /** The group exists only when none of these is kept. */
  readonly unlessCapability?: readonly string[];
  /** `EPERM` or `ENOSYS` instead of allowing. */
  readonly answer?: string;
  readonly otherwise?: string;
  readonly arguments?: readonly {
    readonly index: number;
    readonly is: string;
    readonly value: number;
    readonly mask?: number;
  }[];
}

interface ArchitectureProfile {
  readonly architectures: readonly string[];
  readonly groups: readonly ProfileGroup[];
}

const ERRNO: Readonly<Record<string, number>> = { EPERM: 1, ENOSYS: 38 };
const OPERATORS: Readonly<Record<string, SeccompOperator>> = {
  equal: 'SCMP_CMP_EQ',
  masked: 'SCMP_CMP_MASKED_EQ',
};

/** Node's names (`process.arch`) of the architectures there is a profile for. */
export type SeccompArchitecture = 'x64' | 'arm64';

const PROFILES: Readonly<Record<SeccompArchitecture, ArchitectureProfile>> = { x64: x8664, arm64: aarch64 };

function holdsAny(kept: ReadonlySet<string>, wanted: readonly string[]): boolean {
  return wanted.some((name) => kept.has(name));
}

function renderArgument(argument: NonNullable<ProfileGroup['arguments']>[number]): SeccompArgument {
  const op = OPERATORS[argument.is];
  if (op === undefined)
    throw new TypeError(`seccomp profile compares with ${argument.is}, which is not known`);
  return argument.mask === undefined
    ? { index: argument.index, value: argument.value, op }
    : { index: argument.index, value: argument.mask, valueTwo: argument.value, op };
}

function renderGroup(group: ProfileGroup, kept: ReadonlySet<string>): SeccompRule | undefined {
  if (group.unlessCapability !== undefined && holdsAny(kept, group.unlessCapability)) return undefined;
  const refused = group.whenCapability !== undefined && !holdsAny(kept, group.whenCapability);
  if (refused && group.otherwise === 'leave') return undefined;
  const answer = refused ? 'EPERM' : group.answer;
  const args = group.arguments?.map(renderArgument);
  return {
    names: group.names,
    ...(answer === undefined
      ? { action: 'SCMP_ACT_ALLOW' as const }
      : { action: 'SCMP_ACT_ERRNO' as const, errnoRet: ERRNO[answer] ?? 1 }),
    ...(args === undefined ? {} : { args }),
  };
}

/**
 * Gantry's default profile for a container that keeps these capabilities, as `linux.seccomp`.
 * Names the architecture does not have are for the compiler of the filter to leave out.
 */
export function defaultSeccomp(
  capabilities: readonly string[],
  architecture: SeccompArchitecture,
): RuntimeSeccomp {
  const kept = new Set(capabilities);
  const own = PROFILES[architecture];
  const syscalls = [...(common.groups as readonly ProfileGroup[]), ...own.groups]
    .map((group) => renderGroup(group, kept))
    .filter((rule) => rule !== undefined);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    architectures: own.architectures,
    syscalls,
  };
}

/** A profile as docker's `--security-opt seccomp=FILE` takes it. */
interface DockerProfile {
  readonly defaultAction?: unknown;
  readonly defaultErrnoRet?: unknown;
  readonly architectures?: unknown;
  readonly archMap?: unknown;
  readonly syscalls?: unknown;
  readonly flags?: unknown;
}

const ACTIONS: ReadonlySet<string> = new Set<SeccompAction>([
  'SCMP_ACT_KILL',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_TRAP',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_TRACE',
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_LOG',
]);

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}

/** Whether the kernel is of this version ("4.8") or later; a kernel that does not say is taken for a late one. */
function isAtLeast(kernel: string, version: unknown): boolean {
  const [, major = NaN, minor = NaN] = (/^(\d+)\.(\d+)/.exec(kernel) ?? []).map(Number);
  const [, wantedMajor = 0, wantedMinor = 0] = (/^(\d+)\.(\d+)/.exec(String(version)) ?? []).map(Number);
  return !(major < wantedMajor || (major === wantedMajor && minor < wantedMinor));
}

function applies(
  rule: Readonly<Record<string, unknown>>,
  kept: ReadonlySet<string>,
  machine: string,
  kernel: string,
): boolean {
  const includes = isRecord(rule.includes) ? rule.includes : {};
  const excludes = isRecord(rule.excludes) ? rule.excludes : {};
  const included = strings(includes.caps);
  const architectures = strings(includes.arches);
  if (architectures.length > 0 && !architectures.includes(machine)) return false;
  if (strings(excludes.arches).includes(machine)) return false;
  if (includes.minKernel !== undefined && !isAtLeast(kernel, includes.minKernel)) return false;
  if (excludes.minKernel !== undefined && isAtLeast(kernel, excludes.minKernel)) return false;
  if (!included.every((name) => kept.has(name))) return false;
  return !strings(excludes.caps).some((name) => kept.has(name));
}

function wide(value: unknown): WideInteger {
  return typeof value === 'bigint' ? value : Number(value);
}

function parseArguments(value: unknown): readonly SeccompArgument[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  return value.filter(isRecord).map((argument) => ({
    index: Number(argument.index),
    value: wide(argument.value),
    op: String(argument.op) as SeccompOperator,
    ...(argument.valueTwo === undefined ? {} : { valueTwo: wide(argument.valueTwo) }),
  }));
}

/** The machine's own architecture with those that run beside it, as the file has them; ours when it says nothing. */
function architecturesOf(profile: DockerProfile, architecture: SeccompArchitecture): readonly string[] {
  const own = PROFILES[architecture].architectures;
  if (Array.isArray(profile.archMap))
    return (profile.archMap as unknown[])
      .filter(isRecord)
      .filter((entry) => entry.architecture === own[0])
      .flatMap((entry) => [String(entry.architecture), ...strings(entry.subArchitectures)]);
  const named = strings(profile.architectures);
  return named.length > 0 ? named : own;
}

/**
 * Reads a profile in docker's format and renders it for a container that keeps these capabilities. `kernel` is a release as
 * uname(2) has it, for rules with a `minKernel`.
 */
export function parseSeccompProfile(
  text: string,
  capabilities: readonly string[],
  architecture: SeccompArchitecture,
  kernel = '',
): Checked<RuntimeSeccomp> {
  let profile: DockerProfile;
  try {
    const parsed = parseLossless(text);
    if (!isRecord(parsed)) return invalid('seccomp profile is not a JSON object');
    profile = parsed;
  } catch (error) {
    return invalid(`seccomp profile is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { defaultAction, defaultErrnoRet } = profile;
  if (typeof defaultAction !== 'string' || !ACTIONS.has(defaultAction))
    return invalid(`seccomp profile has no valid defaultAction (${JSON.stringify(defaultAction)})`);
  const kept = new Set(capabilities);
  const machine = architecture === 'x64' ? 'amd64' : 'arm64';
  const syscalls: SeccompRule[] = [];
  for (const rule of Array.isArray(profile.syscalls) ? (profile.syscalls as unknown[]) : []) {
    if (!isRecord(rule)) return invalid('seccomp profile holds a rule that is not an object');
    const names = typeof rule.name === 'string' ? [rule.name] : strings(rule.names);
    const action = rule.action;
    if (names.length === 0) return invalid('seccomp profile holds a rule without names');
    if (typeof action !== 'string' || !ACTIONS.has(action))
      return invalid(
        `seccomp profile has no valid action for ${names.join(', ')} (${JSON.stringify(action)})`,
      );
    if (!applies(rule, kept, machine, kernel)) continue;
    const args = parseArguments(rule.args);
    syscalls.push({
      names,
      action: action as SeccompAction,
      ...(typeof rule.errnoRet === 'number' ? { errnoRet: rule.errnoRet } : {}),
      ...(args === undefined ? {} : { args }),
    });
  }
  return valid({
    defaultAction: defaultAction as SeccompAction,
    ...(typeof defaultErrnoRet === 'number' ? { defaultErrnoRet } : {}),
    architectures: architecturesOf(profile, architecture),
    ...(strings(profile.flags).length > 0 ? { flags: strings(profile.flags) } : {}),
    syscalls,
  });
}

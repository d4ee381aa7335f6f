import { getSystemErrorName } from 'node:util';
import {
  stringifyLossless,
  type RuntimeSeccomp,
  type SeccompAction,
  type SeccompArgument,
  type SeccompOperator,
  type SeccompRule,
  type WideInteger,
} from '@gantry/oci';
import { isNativeError, type NativeSeccompProfile, type NativeSpawner } from './native.js';
import { refuse, withoutNul } from './refusal.js';
import { sha256 } from './digest.js';

const EPERM = 1;
const EEXIST = 17;
/** The kernel cuts larger ones down to this (MAX_ERRNO, include/linux/err.h). */
const LARGEST_ERRNO = 4095;
/** A tracer is handed the low half of the return value. */
const LARGEST_TRACE_MESSAGE = 0xffff;
const ARGUMENTS = 6;
const LARGEST_ARGUMENT = (1n << 64n) - 1n;

/** libseccomp's SCMP_ACT_*, which are the kernel's SECCOMP_RET_*; errno and trace carry a number in their low half. */
const ACTIONS: Readonly<Record<SeccompAction, number>> = {
  SCMP_ACT_KILL: 0x00000000,
  SCMP_ACT_KILL_THREAD: 0x00000000,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

const COMPARISONS: Readonly<Record<SeccompOperator, number>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

/** SECCOMP_FILTER_FLAG_* of seccomp(2). */
const FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1 << 0,
  SECCOMP_FILTER_FLAG_LOG: 1 << 1,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 1 << 2,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 1 << 5,
};
const TSYNC = 1 << 0;
const WAIT_KILLABLE_RECV = 1 << 5;
/** How a thread that could not be synchronised is told when the answer is the listener. */
const TSYNC_ESRCH = 1 << 4;

const ARCHITECTURES =
  'X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB'
    .split(' ')
    .map((name) => `SCMP_ARCH_${name}`);

/** Words of `linux.seccomp` that are understood, as `features` lists them. */
export const SECCOMP_WORDS = Object.freeze({
  actions: Object.keys(ACTIONS),
  operators: Object.keys(COMPARISONS),
  architectures: ARCHITECTURES,
  flags: Object.keys(FLAGS),
});

function actionCode(action: SeccompAction, errno: number | undefined, at: string, errnoKey: string): number {
  const code = Object.hasOwn(ACTIONS, action)
    ? ACTIONS[action]
    : refuse(`linux.seccomp has action ${JSON.stringify(action)}, which is not known`);
  if (action !== 'SCMP_ACT_ERRNO' && action !== 'SCMP_ACT_TRACE') {
    if (errno !== undefined) refuse(`${at}.${errnoKey} is given, but ${action} answers with no errno`);
    return code;
  }
  const number = errno ?? EPERM;
  const largest = action === 'SCMP_ACT_ERRNO' ? LARGEST_ERRNO : LARGEST_TRACE_MESSAGE;
  if (!Number.isInteger(number) || number < 0 || number > largest)
    refuse(`${at}.${errnoKey} is ${number}, which is not from 0 to ${largest}`);
  return code + number;
}

function wide(value: WideInteger | undefined, at: string): bigint {
  const integer = BigInt(value ?? 0);
  if (integer < 0n || integer > LARGEST_ARGUMENT)
    refuse(`${at} is ${value}, which is not an unsigned integer of 64 bits`);
  return integer;
}

function conditionOf(argument: SeccompArgument, at: string) {
  const { index, op, value, valueTwo } = argument;
  if (!Number.isInteger(index) || index < 0 || index >= ARGUMENTS)
    refuse(`${at}.index is ${index}, which is not from 0 to ${ARGUMENTS - 1}`);
  if (!Object.hasOwn(COMPARISONS, op))
    refuse(`linux.seccomp compares with ${JSON.stringify(op)}, which is not known`);
  return {
    argument: index,
    comparison: COMPARISONS[op],
    value: wide(value, `${at}.value`),
    valueTwo: wide(valueTwo, `${at}.valueTwo`),
  };
}

/**
 * All conditions of a rule must hold. Two about one argument cannot be said to libseccomp; every runtime makes a rule of each
 * condition then, any of which suffices, and profiles rely on it.
 */
function conditionSets(rule: SeccompRule, at: string) {
  const conditions = (rule.args ?? []).map((argument, index) =>
    conditionOf(argument, `${at}.args[${index}]`),
  );
  const distinct = new Set(conditions.map(({ argument }) => argument)).size === conditions.length;
  return distinct ? [conditions] : conditions.map((condition) => [condition]);
}

/** The spec's rules as the addon takes them. Pure; throws SpecRefusal. */
export function flattenSeccomp(seccomp: RuntimeSeccomp): NativeSeccompProfile {
  for (const name of seccomp.architectures ?? [])
    if (!ARCHITECTURES.includes(name))
      refuse(`linux.seccomp.architectures has ${JSON.stringify(name)}, which is not known`);
  const { defaultAction, defaultErrnoRet } = seccomp;
  return {
    defaultAction: actionCode(defaultAction, defaultErrnoRet, 'linux.seccomp', 'defaultErrnoRet'),
    architectures: (seccomp.architectures ?? []).map((name) => name.replace(/^SCMP_ARCH_/, '').toLowerCase()),
    rules: (seccomp.syscalls ?? []).flatMap((rule, index) => {
      const at = `linux.seccomp.syscalls[${index}]`;
      if (rule.names.length === 0) refuse(`${at}.names is empty`);
      const action = actionCode(rule.action, rule.errnoRet, at, 'errnoRet');
      const sets = conditionSets(rule, at);
      return rule.names.flatMap((syscall) => {
        withoutNul(syscall, `${at}.names`);
        return sets.map((conditions) => ({ syscall, action, conditions }));
      });
    }),
  };
}

/** Who is asked by SCMP_ACT_NOTIFY. */
export interface SeccompListener {
  /** Unix socket of the host. */
  readonly path: string;
  readonly metadata: string | undefined;
  /** A rule asks. Else the agent may be absent. */
  readonly isAsked: boolean;
}

function usesNotify(seccomp: RuntimeSeccomp): boolean {
  return (
    seccomp.defaultAction === 'SCMP_ACT_NOTIFY' ||
    (seccomp.syscalls ?? []).some(({ action }) => action === 'SCMP_ACT_NOTIFY')
  );
}

/**
 * Undefined when nobody is to be asked. An agent that is named without any rule that asks is told of the container if it is there
 * (crun's users rely on it), and not missed if it is not (runc's do). Pure; throws SpecRefusal.
 */
export function seccompListener(seccomp: RuntimeSeccomp): SeccompListener | undefined {
  const path = seccomp.listenerPath ?? '';
  const metadata = seccomp.listenerMetadata ?? '';
  if (metadata !== '' && path === '')
    refuse('linux.seccomp.listenerMetadata is given without linux.seccomp.listenerPath');
  const isAsked = usesNotify(seccomp);
  if (!isAsked && !path.startsWith('/')) return undefined;
  if (path === '')
    refuse('linux.seccomp has action SCMP_ACT_NOTIFY, but linux.seccomp.listenerPath is missing');
  if (!path.startsWith('/'))
    refuse(`linux.seccomp.listenerPath is ${JSON.stringify(path)}, which is not an absolute path`);
  return {
    path: withoutNul(path, 'linux.seccomp.listenerPath'),
    metadata: metadata === '' ? undefined : metadata,
    isAsked,
  };
}

/** Flags of seccomp(2) for the filter. Pure; throws SpecRefusal. */
export function seccompFlags(seccomp: RuntimeSeccomp): number {
  let flags = 0;
  for (const name of seccomp.flags ?? [])
    flags |= Object.hasOwn(FLAGS, name)
      ? (FLAGS[name] ?? 0)
      : refuse(`linux.seccomp.flags has ${JSON.stringify(name)}, which is not known`);
  // Without a listener nobody receives, and the kernel refuses the flag.
  const isAsked = usesNotify(seccomp);
  if (!isAsked) flags &= ~WAIT_KILLABLE_RECV;
  const mayListen = isAsked || seccomp.listenerPath?.startsWith('/') === true;
  return mayListen && (flags & TSYNC) !== 0 ? flags | TSYNC_ESRCH : flags;
}

/** `linux.seccomp` ready for a plan. */
export interface PlannedSeccomp {
  readonly program: Uint8Array;
  /** Of seccomp(2). */
  readonly flags: number;
  readonly listener: SeccompListener | undefined;
}

export interface CompiledSeccomp extends PlannedSeccomp {
  /** Hex SHA-256 of the profile. */
  readonly digest: string;
  /** Syscall names that the profile allows, without conditions or with. */
  readonly allowedSyscalls: number;
}

/** Programs that outlive a process; keyed by the profile's digest. */
export interface SeccompStore {
  find(digest: string): Uint8Array | undefined;
  keep(digest: string, program: Uint8Array): void;
}

const MOST_CACHED = 64;

/** The profile as text; what is not known in it counts, too. */
function textOf(seccomp: RuntimeSeccomp): string {
  try {
    return JSON.stringify(seccomp);
  } catch {
    // Bigints, which few profiles have: the slower way.
  }
  try {
    return stringifyLossless(seccomp);
  } catch {
    return refuse('linux.seccomp is nested too deeply');
  }
}

/** Compiles each profile once: nearly all containers of a node share a few. */
export class SeccompCompiler {
  readonly #native: Pick<NativeSpawner, 'compileSeccomp'>;
  readonly #store: SeccompStore | undefined;
  readonly #cache = new Map<string, CompiledSeccomp>();

  constructor(native: Pick<NativeSpawner, 'compileSeccomp'>, store?: SeccompStore) {
    this.#native = native;
    this.#store = store;
  }

  /** Throws SpecRefusal. */
  compile(seccomp: RuntimeSeccomp): CompiledSeccomp {
    const digest = sha256(textOf(seccomp)).toString('hex');
    const known = this.#cache.get(digest);
    if (known !== undefined) return known;
    const allowed = new Set(
      (seccomp.syscalls ?? []).flatMap(({ names, action }) => (action === 'SCMP_ACT_ALLOW' ? names : [])),
    );
    const compiled = Object.freeze({
      digest,
      flags: seccompFlags(seccomp),
      listener: seccompListener(seccomp),
      program: this.#store?.find(digest) ?? this.#compileAnew(digest, seccomp),
      allowedSyscalls: allowed.size,
    });
    const [oldest] = this.#cache.keys();
    if (this.#cache.size >= MOST_CACHED && oldest !== undefined) this.#cache.delete(oldest);
    this.#cache.set(digest, compiled);
    return compiled;
  }

  #compileAnew(digest: string, seccomp: RuntimeSeccomp): Uint8Array {
    const profile = flattenSeccomp(seccomp);
    try {
      const { program } = this.#native.compileSeccomp(profile);
      this.#store?.keep(digest, program);
      return program;
    } catch (error) {
      if (!isNativeError(error)) throw error;
      const { stage, path, errno } = error;
      return refuse(
        `linux.seccomp cannot be compiled: cannot ${stage} ${JSON.stringify(path)}: ${errno === EEXIST ? 'it contradicts another rule' : getSystemErrorName(-errno)}`,
      );
    }
  }
}

/** Those of SECCOMP_WORDS.flags that this kernel has. */
export function supportedSeccompFlags(native: Pick<NativeSpawner, 'seccompFacts'>): readonly string[] {
  const { flags } = native.seccompFacts();
  return SECCOMP_WORDS.flags.filter((name) => ((FLAGS[name] ?? 0) & flags) !== 0);
}

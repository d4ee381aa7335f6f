import { createHash } from 'node:crypto';
import {
  stringifyLossless,
  type RuntimeSeccomp,
  type SeccompAction,
  type SeccompOperator,
  type WideInteger,
} from '@gantry/oci';
import type { NativeSeccompProfile, NativeSpawner } from './native.js';
import { refuse } from './refusal.js';

const EPERM = 1;

/** libseccomp's SCMP_ACT_*; errno and trace carry a number in their low half. */
function actionCode(action: SeccompAction, errno: number | undefined): number {
  switch (action) {
    case 'SCMP_ACT_KILL':
    case 'SCMP_ACT_KILL_THREAD':
      return 0x00000000;
    case 'SCMP_ACT_KILL_PROCESS':
      return 0x80000000;
    case 'SCMP_ACT_TRAP':
      return 0x00030000;
    case 'SCMP_ACT_ERRNO':
      return 0x00050000 + ((errno ?? EPERM) & 0xffff);
    case 'SCMP_ACT_TRACE':
      return 0x7ff00000 + ((errno ?? EPERM) & 0xffff);
    case 'SCMP_ACT_LOG':
      return 0x7ffc0000;
    case 'SCMP_ACT_ALLOW':
      return 0x7fff0000;
    case 'SCMP_ACT_NOTIFY':
      return refuse('linux.seccomp has action SCMP_ACT_NOTIFY, which is not supported');
    default:
      return refuse(`linux.seccomp has action ${JSON.stringify(action)}, which is not known`);
  }
}

const COMPARISONS: Readonly<Record<SeccompOperator, number>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

function wide(value: WideInteger | undefined): bigint {
  return BigInt.asUintN(64, BigInt(value ?? 0));
}

/** The spec's rules as the addon takes them. Pure; throws SpecRefusal. */
export function flattenSeccomp(seccomp: RuntimeSeccomp): NativeSeccompProfile {
  for (const flag of seccomp.flags ?? [])
    if (
      flag !== 'SECCOMP_FILTER_FLAG_TSYNC' &&
      flag !== 'SECCOMP_FILTER_FLAG_SPEC_ALLOW' &&
      flag !== 'SECCOMP_FILTER_FLAG_LOG'
    )
      refuse(`linux.seccomp.flags has ${JSON.stringify(flag)}, which is not supported`);
  return {
    defaultAction: actionCode(seccomp.defaultAction, seccomp.defaultErrnoRet),
    architectures: (seccomp.architectures ?? []).map((name) => name.replace(/^SCMP_ARCH_/, '').toLowerCase()),
    rules: (seccomp.syscalls ?? []).flatMap(({ names, action, errnoRet, args }) =>
      names.map((syscall) => ({
        syscall,
        action: actionCode(action, errnoRet),
        conditions: (args ?? []).map(({ index, op, value, valueTwo }) => ({
          argument: index,
          comparison:
            COMPARISONS[op] ??
            refuse(`linux.seccomp compares with ${JSON.stringify(op)}, which is not known`),
          value: wide(value),
          valueTwo: wide(valueTwo),
        })),
      })),
    ),
  };
}

export interface CompiledSeccomp {
  /** Hex SHA-256 of the profile's JSON. */
  readonly digest: string;
  readonly program: Uint8Array;
  /** Syscall names that the profile allows, without conditions or with. */
  readonly allowedSyscalls: number;
}

const MOST_CACHED = 64;

/** Compiles each profile once: nearly all containers of a node share a few. */
export class SeccompCompiler {
  readonly #native: Pick<NativeSpawner, 'compileSeccomp'>;
  readonly #cache = new Map<string, CompiledSeccomp>();

  constructor(native: Pick<NativeSpawner, 'compileSeccomp'>) {
    this.#native = native;
  }

  compile(seccomp: RuntimeSeccomp): CompiledSeccomp {
    const digest = createHash('sha256').update(stringifyLossless(seccomp)).digest('hex');
    const known = this.#cache.get(digest);
    if (known !== undefined) return known;
    const { program } = this.#native.compileSeccomp(flattenSeccomp(seccomp));
    const allowed = new Set(
      (seccomp.syscalls ?? []).flatMap(({ names, action }) => (action === 'SCMP_ACT_ALLOW' ? names : [])),
    );
    const compiled = Object.freeze({ digest, program, allowedSyscalls: allowed.size });
    const [oldest] = this.#cache.keys();
    if (this.#cache.size >= MOST_CACHED && oldest !== undefined) this.#cache.delete(oldest);
    this.#cache.set(digest, compiled);
    return compiled;
  }
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  DOCKER_ALWAYS,
  DOCKER_BY_ARCHITECTURE,
  DOCKER_BY_ARGUMENT,
  DOCKER_BY_CAPABILITY,
} from './docker-seccomp-facts.js';
import {
  CAPABILITIES,
  DEFAULT_CAPABILITIES,
  defaultSeccomp,
  type RuntimeSeccomp,
  type SeccompArchitecture,
  type SeccompArgument,
} from './index.js';

const ARCHITECTURES: readonly SeccompArchitecture[] = ['x64', 'arm64'];

/** Names that docker allows without a look at the arguments. */
function dockerFree(capabilities: readonly string[], architecture: SeccompArchitecture): ReadonlySet<string> {
  return new Set([
    ...DOCKER_ALWAYS,
    ...DOCKER_BY_ARCHITECTURE[architecture],
    ...capabilities.flatMap((name) => DOCKER_BY_CAPABILITY[name] ?? []),
  ]);
}

function holds({ op, value, valueTwo }: SeccompArgument, argument: bigint): boolean {
  if (op === 'SCMP_CMP_EQ') return argument === BigInt(value);
  if (op === 'SCMP_CMP_MASKED_EQ') return (argument & BigInt(value)) === BigInt(valueTwo ?? 0);
  throw new Error(`the default profile compares with ${op}`);
}

/** First arguments at which a rule may change its mind: small numbers, each bit, their neighbours, both halves. */
const ARGUMENTS: readonly bigint[] = [
  ...Array.from({ length: 128 }, (_, number) => BigInt(number)),
  ...Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit)).flatMap((one) => [one - 1n, one, one + 1n]),
  ...[0x20000n, 0x20008n, 0xffffffffn, 0x7e020000n, 0x1200011n, 0x3d0f00n],
].flatMap((low) => [low, low | (1n << 40n), low | (1n << 63n)]);

/** What ours allows and docker refuses. */
function looser(capabilities: readonly string[], architecture: SeccompArchitecture): readonly string[] {
  const free = dockerFree(capabilities, architecture);
  const ours: RuntimeSeccomp = defaultSeccomp(capabilities, architecture);
  return (ours.syscalls ?? [])
    .filter(({ action }) => action !== 'SCMP_ACT_ERRNO')
    .flatMap(({ names, args = [] }) => {
      assert.ok(args.length <= 1 && args.every(({ index }) => index === 0));
      return names.flatMap((name) => {
        if (free.has(name)) return [];
        const condition = DOCKER_BY_ARGUMENT[name];
        if (condition === undefined) return [name];
        return ARGUMENTS.filter(
          (argument) => args.every((one) => holds(one, argument)) && !condition(argument),
        ).map((argument) => `${name}(0x${argument.toString(16)})`);
      });
    });
}

test('the default profile allows nothing that docker refuses, on either architecture, with any capabilities', () => {
  for (const architecture of ARCHITECTURES) {
    assert.deepEqual(looser([], architecture), []);
    assert.deepEqual(looser(DEFAULT_CAPABILITIES, architecture), []);
    assert.deepEqual(looser(CAPABILITIES, architecture), []);
    for (const name of CAPABILITIES) assert.deepEqual(looser([name], architecture), [], name);
  }
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.constantFrom(...CAPABILITIES)),
      fc.constantFrom(...ARCHITECTURES),
      (capabilities, architecture) => {
        assert.deepEqual(looser(capabilities, architecture), []);
      },
    ),
    { numRuns: 50 },
  );
});

test('where it is stricter is known: what programs may miss beside docker', () => {
  const missing = (architecture: SeccompArchitecture, capabilities: readonly string[]) => {
    const named = new Set(
      (defaultSeccomp(capabilities, architecture).syscalls ?? [])
        .filter(({ action }) => action === 'SCMP_ACT_ALLOW')
        .flatMap(({ names }) => names),
    );
    return [...dockerFree(capabilities, architecture)].filter((name) => !named.has(name)).sort();
  };
  // Of other machines; the rest of arm64's are calls that 32-bit arm does not have.
  assert.deepEqual(missing('x64', DEFAULT_CAPABILITIES), ['riscv_hwprobe']);
  assert.deepEqual(missing('x64', CAPABILITIES), ['riscv_hwprobe']);
  assert.deepEqual(
    missing('arm64', DEFAULT_CAPABILITIES),
    'alarm epoll_ctl_old epoll_wait_old fadvise64_64 get_thread_area ipc riscv_hwprobe set_thread_area socketcall time uretprobe utime waitpid'.split(
      ' ',
    ),
  );
});

test('programs of x32 are not let in beside docker, which lets them', () => {
  assert.ok(!defaultSeccomp(DEFAULT_CAPABILITIES, 'x64').architectures?.includes('SCMP_ARCH_X32'));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLossless, type RuntimeProcess, type RuntimeSpec } from '@gantry/oci';
import fc from 'fast-check';
import { compileContainer, type ContainerInput, type HostFacts } from './container-plan.js';
import { compileExec, type ExecInput } from './exec-plan.js';
import { changedConfigs, damagedBytes, hostileConfigs, hostileProcesses } from './hostile-spec-fixture.js';
import { loadNative } from './native.js';
import { readPlan } from './plan-format.js';
import { SpecRefusal } from './refusal.js';
import { SeccompCompiler } from './seccomp.js';
import { checkProcessShape, checkSpecShape } from './spec-shape.js';
import { specOf } from './spawner-fixture.js';
import { plainShim } from './supervision-fixture.js';

const compiler = new SeccompCompiler(loadNative());
const host: HostFacts = { hierarchies: [], findDevice: () => undefined };
const handle = { path: '/handle', device: 1, inode: 2 };

/** What is the same for every start here. */
const SURROUNDINGS = {
  lowerdirs: [handle],
  writable: handle,
  userNamespace: handle,
  networkNamespace: handle,
  cgroups: [],
  directory: '/run/x',
  state: { ociVersion: '1.3.0', id: 'x', bundle: '/run/x' },
  supervision: plainShim,
} as const;

function compile(text: string): Buffer {
  const spec = parseLossless(text) as RuntimeSpec;
  checkSpecShape(spec);
  const seccomp = spec.linux?.seccomp === undefined ? undefined : compiler.compile(spec.linux.seccomp);
  return compileContainer({ ...SURROUNDINGS, spec, seccomp } satisfies ContainerInput, host);
}

function compileProcess(text: string): Buffer {
  const process = parseLossless(text) as RuntimeProcess;
  checkProcessShape(process);
  return compileExec({
    ...SURROUNDINGS,
    process,
    target: { pid: 1, startTicks: 1n, namespaces: 0n },
    seccomp: undefined,
    noNewPrivileges: true,
  } satisfies ExecInput);
}

/** Top-level names of the specification, one of which every refusal has. */
const PROPERTY =
  /\b(process|root|hostname|domainname|mounts?|hooks|annotations|linux|device|user|spec|sysctl|ociVersion)\b/;

/** A plan that can be read, or one sentence that names the property; never anything else. */
function assertPlanOrRefusal(text: string, compileText: (text: string) => Buffer): void {
  let plan: Buffer;
  try {
    plan = compileText(text);
  } catch (error) {
    if (!(error instanceof SpecRefusal)) throw error;
    assert.match(error.message, PROPERTY);
    assert.ok(!/[\0\n]/.test(error.message), `more than a sentence: ${JSON.stringify(error.message)}`);
    assert.ok(error.message.length < 1000, `a sentence of ${error.message.length} characters`);
    return;
  }
  assert.ok(readPlan(plan).length > 0);
}

function isObjectText(text: string): boolean {
  try {
    const value = parseLossless(text);
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
  }
}

/** Says something about nearly everything. */
const GOOD = specOf(
  ['sh', '-c', 'true'],
  {
    domainname: 'example',
    linux: {
      sysctl: { 'net.ipv4.ip_forward': '1' },
      devices: [{ type: 'c', path: '/dev/null', major: 1, minor: 3 }],
      seccomp: {
        defaultAction: 'SCMP_ACT_ERRNO',
        defaultErrnoRet: 38,
        architectures: ['SCMP_ARCH_X86_64'],
        flags: ['SECCOMP_FILTER_FLAG_LOG'],
        syscalls: [
          { names: ['read'], action: 'SCMP_ACT_ALLOW' },
          {
            names: ['socket'],
            action: 'SCMP_ACT_ERRNO',
            errnoRet: 1,
            args: [{ index: 0, value: 2n ** 63n, valueTwo: 1, op: 'SCMP_CMP_MASKED_EQ' }],
          },
        ],
      },
      rootfsPropagation: 'private',
    },
  },
  {
    consoleSize: { height: 24, width: 80 },
    terminal: true,
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 2n ** 64n - 1n }],
    oomScoreAdj: 100,
    user: { uid: 0, gid: 0, umask: 18, additionalGids: [5] },
  },
);

const RUNS = Number(process.env.GANTRY_FUZZ_RUNS ?? 400);
const options = { numRuns: RUNS } as const;

test('a configuration of the schema’s shape with anything anywhere becomes a plan or a sentence', () => {
  fc.assert(
    fc.property(hostileConfigs, (text) => {
      assertPlanOrRefusal(text, compile);
    }),
    options,
  );
});

test('a good configuration with a few places changed becomes a plan or a sentence', () => {
  assertPlanOrRefusal(JSON.stringify(specOf(['true'])), compile);
  fc.assert(
    fc.property(changedConfigs(GOOD), (text) => {
      if (isObjectText(text)) assertPlanOrRefusal(text, compile);
    }),
    { numRuns: 5 * RUNS },
  );
});

test('the text of a good configuration with bytes flipped, cut and doubled becomes a plan or a sentence, or is no JSON', () => {
  fc.assert(
    fc.property(damagedBytes(Buffer.from(JSON.stringify(specOf(['true'])))), (bytes) => {
      const text = bytes.toString('utf8');
      if (isObjectText(text)) assertPlanOrRefusal(text, compile);
    }),
    { numRuns: 5 * RUNS },
  );
});

test('an exec’s process with anything anywhere becomes a plan or a sentence', () => {
  fc.assert(
    fc.property(hostileProcesses, (text) => {
      assertPlanOrRefusal(text, compileProcess);
    }),
    options,
  );
  fc.assert(
    fc.property(changedConfigs(GOOD.process ?? {}), (text) => {
      if (isObjectText(text)) assertPlanOrRefusal(text, compileProcess);
    }),
    { numRuns: 5 * RUNS },
  );
});

test('what is nested too deep to look at is refused, not a crash', () => {
  const depth = 200_000;
  for (const text of [
    `{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","x":${'['.repeat(depth)}${']'.repeat(depth)}}}}`,
    `{"process":${'{"process":'.repeat(depth)}1${'}'.repeat(depth)}}`,
  ])
    assert.throws(
      () => compile(text),
      (error) => error instanceof SpecRefusal || error instanceof RangeError,
    );
});

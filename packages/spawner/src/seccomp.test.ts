import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_CAPABILITIES, defaultSeccomp, type RuntimeSeccomp } from '@gantry/oci';
import { loadNative } from './native.js';
import { flattenSeccomp, SeccompCompiler } from './seccomp.js';

test('rules become numbers, errno in the low half', () => {
  const flat = flattenSeccomp({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    architectures: ['SCMP_ARCH_X86_64'],
    syscalls: [
      {
        names: ['a', 'b'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 1, op: 'SCMP_CMP_MASKED_EQ', value: 0x7e020000, valueTwo: 0 }],
      },
    ],
  });
  assert.equal(flat.defaultAction, 0x00050026);
  assert.deepEqual(flat.architectures, ['x86_64']);
  assert.deepEqual(flat.rules[1], {
    syscall: 'b',
    action: 0x7fff0000,
    conditions: [{ argument: 1, comparison: 7, value: 0x7e020000n, valueTwo: 0n }],
  });
});

test('actions and flags that are not supported are refused by name', () => {
  assert.throws(
    () => flattenSeccomp({ defaultAction: 'SCMP_ACT_NOTIFY' }),
    /SCMP_ACT_NOTIFY, which is not supported/,
  );
  assert.throws(
    () =>
      flattenSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', flags: ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'] }),
    /linux\.seccomp\.flags has/,
  );
});

test('the default profile compiles once, unknown syscalls left out', () => {
  let compilations = 0;
  const native = loadNative();
  const compiler = new SeccompCompiler({
    compileSeccomp: (profile) => (compilations++, native.compileSeccomp(profile)),
  });
  const profile = defaultSeccomp(DEFAULT_CAPABILITIES, process.arch === 'arm64' ? 'arm64' : 'x64');
  const made: RuntimeSeccomp = {
    ...profile,
    syscalls: [...(profile.syscalls ?? []), { names: ['no_such_call'], action: 'SCMP_ACT_ALLOW' }],
  };
  const first = compiler.compile(made);
  assert.equal(compiler.compile(structuredClone(made)), first);
  assert.equal(compilations, 1);
  assert.equal(first.program.length % 8, 0);
  assert.ok(
    first.program.length > 8 * 100 && first.program.length < 8 * 4096,
    `${first.program.length / 8} instructions`,
  );
});

test('the addon throws on arguments that are none', () => {
  const native = loadNative() as unknown as Record<string, (...values: unknown[]) => unknown>;
  for (const [name, values] of [
    ['startShim', [1]], ['startShim', [1, 'x', 1, 'l', -1]], ['startShim', ['1', new Uint8Array(), 1, 'l', -1]], ['startShim', [1, new Uint8Array(), 1, 'l']], ['loadShim', [5]], ['loadShim', ['a\0b']],
    ['lockFile', []], ['reapChild', ['x']], ['signalProcess', [1, 2, 3]], ['compileSeccomp', [null]], ['compileSeccomp', [{ defaultAction: 0 }]],
  ] as const) assert.throws(() => native[name]?.(...values), TypeError, `${name}(${values.join(', ')})`); // prettier-ignore
  assert.throws(() => native.loadShim?.('/nonexistent'), {
    stage: 'open shim',
    errno: 2,
    path: '/nonexistent',
  });
});

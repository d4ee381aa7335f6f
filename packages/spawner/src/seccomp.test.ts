import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DEFAULT_CAPABILITIES,
  defaultSeccomp,
  type RuntimeSeccomp,
  type SeccompAction,
  type SeccompOperator,
} from '@gantry/oci';
import { loadNative } from './native.js';
import {
  flattenSeccomp,
  SECCOMP_WORDS,
  SeccompCompiler,
  seccompFlags,
  seccompListener,
  supportedSeccompFlags,
} from './seccomp.js';

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

test('arguments keep all their 64 bits', () => {
  const flat = flattenSeccomp({
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [
      {
        names: ['lseek'],
        action: 'SCMP_ACT_ERRNO',
        args: [
          { index: 1, op: 'SCMP_CMP_EQ', value: 18446744073709551615n },
          { index: 2, op: 'SCMP_CMP_MASKED_EQ', value: 9007199254740993n, valueTwo: 1 },
        ],
      },
    ],
  });
  assert.deepEqual(flat.rules[0]?.conditions, [
    { argument: 1, comparison: 4, value: 18446744073709551615n, valueTwo: 0n },
    { argument: 2, comparison: 7, value: 9007199254740993n, valueTwo: 1n },
  ]);
});

test('two conditions about one argument become two rules, as in other runtimes', () => {
  const flat = flattenSeccomp({
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [
      {
        names: ['socket'],
        action: 'SCMP_ACT_ALLOW',
        args: [
          { index: 0, op: 'SCMP_CMP_EQ', value: 1 },
          { index: 0, op: 'SCMP_CMP_EQ', value: 2 },
        ],
      },
    ],
  });
  assert.deepEqual(
    flat.rules.map(({ conditions }) => conditions.map(({ value }) => value)),
    [[1n], [2n]],
  );
});

const native = loadNative();
const compiler = new SeccompCompiler(native);

/** A profile that allows everything but what the case is about. */
function around(more: Partial<RuntimeSeccomp>): RuntimeSeccomp {
  return { defaultAction: 'SCMP_ACT_ALLOW', ...more };
}

const NOTIFY_MKDIR: Partial<RuntimeSeccomp> = {
  syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_NOTIFY' }],
};

test('every action, operator, architecture and flag of the specification compiles', () => {
  for (const action of SECCOMP_WORDS.actions as SeccompAction[]) {
    const listener = action === 'SCMP_ACT_NOTIFY' ? { listenerPath: '/run/agent.sock' } : {};
    const rules = [{ names: ['mkdir'], action }];
    assert.ok(compiler.compile({ defaultAction: action, ...listener }).program.length > 0, action);
    const asRule = compiler.compile(
      around({ ...listener, ...(action === 'SCMP_ACT_ALLOW' ? {} : { syscalls: rules }) }),
    );
    assert.ok(asRule.program.length > 0, action);
  }
  for (const op of SECCOMP_WORDS.operators as SeccompOperator[])
    for (const index of [0, 1, 2, 3, 4, 5])
      compiler.compile(
        around({
          syscalls: [
            {
              names: ['mmap'],
              action: 'SCMP_ACT_ERRNO',
              args: [{ index, op, value: 2n ** 63n, valueTwo: 1 }],
            },
          ],
        }),
      );
  for (const name of SECCOMP_WORDS.architectures)
    compiler.compile(
      around({ architectures: [name], syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_LOG' }] }),
    );
  compiler.compile(around({ architectures: SECCOMP_WORDS.architectures }));
  assert.equal(seccompFlags(around({ flags: SECCOMP_WORDS.flags })), 0b111);
  // With a listener: WAIT_KILLABLE_RECV, and TSYNC_ESRCH, without which the kernel refuses TSYNC.
  assert.equal(seccompFlags(around({ ...NOTIFY_MKDIR, flags: SECCOMP_WORDS.flags })), 0b110111);
});

test('the flags that are said to be supported are those that this kernel takes', () => {
  const supported = supportedSeccompFlags(native);
  assert.ok(supported.includes('SECCOMP_FILTER_FLAG_TSYNC'));
  assert.ok(supported.every((name) => SECCOMP_WORDS.flags.includes(name)));
  assert.match(native.seccompFacts().libraryVersion, /^\d+\.\d+\.\d+$/);
});

test('a listener must be there for SCMP_ACT_NOTIFY alone', () => {
  const asked = around({ ...NOTIFY_MKDIR, listenerPath: '/run/agent.sock', listenerMetadata: 'for you' });
  assert.deepEqual(seccompListener(asked), { path: '/run/agent.sock', metadata: 'for you', isAsked: true });
  const untroubled = seccompListener(around({ listenerPath: '/run/agent.sock' }));
  assert.deepEqual(untroubled, { path: '/run/agent.sock', metadata: undefined, isAsked: false });
  assert.equal(seccompListener(around({ listenerPath: 'whatever' })), undefined);
});

for (const [why, profile, sentence] of [
  [
    'an unknown action',
    { defaultAction: 'SCMP_ACT_MAYBE' },
    /has action "SCMP_ACT_MAYBE", which is not known/,
  ],
  ['an action that is a name of objects', { defaultAction: 'toString' }, /has action "toString"/],
  [
    'an errno for ALLOW',
    { defaultErrnoRet: 1 },
    /^linux\.seccomp\.defaultErrnoRet is given, but SCMP_ACT_ALLOW/,
  ],
  [
    'an errno for KILL in a rule',
    { syscalls: [{ names: ['a'], action: 'SCMP_ACT_KILL', errnoRet: 1 }] },
    /^linux\.seccomp\.syscalls\[0\]\.errnoRet is given/,
  ],
  [
    'an errno that is none',
    { syscalls: [{ names: ['a'], action: 'SCMP_ACT_ERRNO', errnoRet: 4096 }] },
    /errnoRet is 4096, which is not from 0 to 4095/,
  ],
  [
    'a rule without names',
    { syscalls: [{ names: [], action: 'SCMP_ACT_ERRNO' }] },
    /^linux\.seccomp\.syscalls\[0\]\.names is empty/,
  ],
  [
    'an argument that no call has',
    {
      syscalls: [
        { names: ['a'], action: 'SCMP_ACT_ERRNO', args: [{ index: 6, op: 'SCMP_CMP_EQ', value: 1 }] },
      ],
    },
    /args\[0\]\.index is 6, which is not from 0 to 5/,
  ],
  [
    'an operator',
    {
      syscalls: [{ names: ['a'], action: 'SCMP_ACT_ERRNO', args: [{ index: 0, op: '__proto__', value: 1 }] }],
    },
    /compares with "__proto__", which is not known/,
  ],
  [
    'a value of 65 bits',
    {
      syscalls: [
        { names: ['a'], action: 'SCMP_ACT_ERRNO', args: [{ index: 0, op: 'SCMP_CMP_EQ', value: 2n ** 64n }] },
      ],
    },
    /args\[0\]\.value is 18446744073709551616/,
  ],
  [
    'a negative value',
    {
      syscalls: [
        { names: ['a'], action: 'SCMP_ACT_ERRNO', args: [{ index: 0, op: 'SCMP_CMP_EQ', value: -1 }] },
      ],
    },
    /args\[0\]\.value is -1/,
  ],
  [
    'an architecture',
    { architectures: ['SCMP_ARCH_Z80'] },
    /architectures has "SCMP_ARCH_Z80", which is not known/,
  ],
  [
    'a flag',
    { flags: ['SECCOMP_FILTER_FLAG_NEW_LISTENER'] },
    /flags has "SECCOMP_FILTER_FLAG_NEW_LISTENER", which is not known/,
  ],
  ['notify without a listener', NOTIFY_MKDIR, /SCMP_ACT_NOTIFY, but linux\.seccomp\.listenerPath is missing/],
  [
    'a listener with a relative path',
    { ...NOTIFY_MKDIR, listenerPath: 'agent' },
    /listenerPath is "agent", which is not an absolute path/,
  ],
  [
    'metadata for nobody',
    { listenerMetadata: 'x' },
    /listenerMetadata is given without linux\.seccomp\.listenerPath/,
  ],
] as const)
  // prettier-ignore
  test(`refused by name: ${why}`, () => {
    assert.throws(() => compiler.compile(around(profile as unknown as Partial<RuntimeSeccomp>)), {
      name: 'SpecRefusal',
      message: sentence,
    });
  });

test('two answers to one call are an error that names it, not a choice', () => {
  const args = [{ index: 0, op: 'SCMP_CMP_EQ' as const, value: 1 }];
  assert.throws(
    () =>
      compiler.compile(
        around({
          syscalls: [
            { names: ['dup'], action: 'SCMP_ACT_ERRNO', args },
            { names: ['dup'], action: 'SCMP_ACT_KILL', args },
          ],
        }),
      ),
    { name: 'SpecRefusal', message: /cannot add seccomp rule "dup": it contradicts another rule$/ },
  );
});

test('the default profile compiles once, unknown syscalls left out', () => {
  let compilations = 0;
  const counting = new SeccompCompiler({
    compileSeccomp: (profile) => (compilations++, native.compileSeccomp(profile)),
  });
  const profile = defaultSeccomp(DEFAULT_CAPABILITIES, process.arch === 'arm64' ? 'arm64' : 'x64');
  const made: RuntimeSeccomp = {
    ...profile,
    syscalls: [...(profile.syscalls ?? []), { names: ['no_such_call'], action: 'SCMP_ACT_ALLOW' }],
  };
  const first = counting.compile(made);
  assert.equal(counting.compile(structuredClone(made)), first);
  assert.equal(compilations, 1);
  assert.equal(first.program.length % 8, 0);
  assert.ok(
    first.program.length > 8 * 100 && first.program.length < 8 * 4096,
    `${first.program.length / 8} instructions`,
  );
});

test('the addon throws on arguments that are none', () => {
  const addon = native as unknown as Record<string, (...values: unknown[]) => unknown>;
  for (const [name, values] of [
    ['startShim', [1]], ['startShim', [1, 'x', 1, 'l', -1]], ['startShim', ['1', new Uint8Array(), 1, 'l', -1]], ['startShim', [1, new Uint8Array(), 1, 'l']], ['loadShim', [5]], ['loadShim', ['a\0b']],
    ['lockFile', []], ['reapChild', ['x']], ['signalProcess', [1, 2, 3]], ['compileSeccomp', [null]], ['compileSeccomp', [{ defaultAction: 0 }]],
  ] as const) assert.throws(() => addon[name]?.(...values), TypeError, `${name}(${values.join(', ')})`); // prettier-ignore
  assert.throws(() => addon.loadShim?.('/nonexistent'), {
    stage: 'open shim',
    errno: 2,
    path: '/nonexistent',
  });
});

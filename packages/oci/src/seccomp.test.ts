import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CAPABILITIES,
  DEFAULT_CAPABILITIES,
  defaultSeccomp,
  parseSeccompProfile,
  type RuntimeSeccomp,
  type SeccompRule,
} from './index.js';

function rulesFor(profile: RuntimeSeccomp, name: string): readonly SeccompRule[] {
  return (profile.syscalls ?? []).filter((rule) => rule.names.includes(name));
}

function allowed(profile: RuntimeSeccomp, name: string): boolean {
  return rulesFor(profile, name).some((rule) => rule.action === 'SCMP_ACT_ALLOW');
}

test('ordinary programs find what they call', () => {
  const profile = defaultSeccomp(DEFAULT_CAPABILITIES, 'x64');
  const ordinary =
    'read write openat open close mmap mprotect brk execve clone vfork wait4 exit_group futex epoll_wait epoll_pwait socket connect accept4 sendfile statx newfstatat getdents64 rt_sigaction prctl arch_prctl set_tid_address rseq getrandom sched_yield madvise pipe2 eventfd2 shmget semop io_setup membarrier setgroups setuid chroot mknodat memfd_create inotify_add_watch tgkill';
  for (const name of ordinary.split(' ')) assert.ok(allowed(profile, name), name);
});

test('without CAP_SYS_ADMIN there are no mounts and no namespaces, and clone3 is not implemented', () => {
  const profile = defaultSeccomp(DEFAULT_CAPABILITIES, 'x64');
  for (const name of [
    'mount',
    'unshare',
    'setns',
    'bpf',
    'pivot_root',
    'keyctl',
    'init_module',
    'io_uring_setup',
    'reboot',
  ]) {
    assert.ok(!allowed(profile, name), name);
    assert.equal(rulesFor(profile, name)[0]?.errnoRet, 1, name);
  }
  assert.equal(rulesFor(profile, 'clone3')[0]?.errnoRet, 38);
  const clone = rulesFor(profile, 'clone').filter((rule) => rule.action === 'SCMP_ACT_ALLOW');
  assert.deepEqual(clone[0]?.args, [{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]);
  const refusedBits = rulesFor(profile, 'clone').filter((rule) => rule.action === 'SCMP_ACT_ERRNO');
  const bits = refusedBits.reduce((sum, rule) => sum + Number(rule.args?.[0]?.value ?? 0), 0);
  assert.equal(bits, 0x7e020000, 'each flag of the mask is refused by a rule of its own');
});

test('every socket family but vsock and kernel crypto is allowed, whatever the high half of the argument', () => {
  const rules = rulesFor(defaultSeccomp([], 'x64'), 'socket');
  for (let family = 0; family < 48; family += 1) {
    for (const argument of [BigInt(family), BigInt(family) | (1n << 40n)]) {
      const hits = rules.filter(({ args }) => {
        const [only] = args ?? [];
        return only !== undefined && (argument & BigInt(only.value)) === BigInt(only.valueTwo ?? 0);
      });
      assert.equal(hits.length, family === 38 || family === 40 ? 0 : 1, `family ${family}`);
    }
  }
});

test('with CAP_SYS_ADMIN clone and clone3 are free of conditions', () => {
  const profile = defaultSeccomp(['CAP_SYS_ADMIN'], 'arm64');
  for (const name of ['clone', 'clone3']) {
    assert.deepEqual(
      rulesFor(profile, name).map(({ action, args }) => ({ action, args })),
      [{ action: 'SCMP_ACT_ALLOW', args: undefined }],
    );
  }
});

test('more capabilities never take a system call away, and no call is both free and refused', () => {
  const kept = fc.uniqueArray(fc.constantFrom(...CAPABILITIES));
  fc.assert(
    fc.property(kept, fc.constantFrom('x64' as const, 'arm64' as const), (capabilities, architecture) => {
      const less = defaultSeccomp(capabilities, architecture);
      const more = defaultSeccomp(CAPABILITIES, architecture);
      const names = new Set((less.syscalls ?? []).flatMap((rule) => rule.names));
      for (const name of names) {
        if (allowed(less, name)) assert.ok(allowed(more, name), name);
        const free = rulesFor(less, name).filter((rule) => rule.args === undefined);
        assert.ok(free.length <= 1, `${name} has two rules without a condition`);
        if (free.length === 1)
          assert.equal(rulesFor(less, name).length, 1, `${name} mixes free and conditional rules`);
      }
    }),
    { numRuns: 30 },
  );
});

test('a profile in docker’s format keeps the rules that fit the capabilities and the machine', () => {
  const text = JSON.stringify({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    syscalls: [
      { names: ['read'], action: 'SCMP_ACT_ALLOW' },
      { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['arch_prctl'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['amd64'] } },
      { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] },
    ],
  });
  const parsed = parseSeccompProfile(text, [], 'x64');
  assert.ok(parsed.ok);
  assert.deepEqual(
    parsed.value.syscalls?.map((rule) => rule.names[0]),
    ['read', 'arch_prctl', 'clone'],
  );
  for (const bad of ['', '[]', '{}', '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{}]}'])
    assert.ok(!parseSeccompProfile(bad, [], 'x64').ok, bad);
});

test('a profile names its architectures, its kernels and values of 64 bits', () => {
  const render = (profile: object, kernel?: string) => {
    const parsed = parseSeccompProfile(
      `{"defaultAction":"SCMP_ACT_ALLOW",${JSON.stringify(profile).slice(1)}`,
      [],
      'x64',
      kernel,
    );
    assert.ok(parsed.ok);
    return parsed.value;
  };
  assert.deepEqual(
    render({
      archMap: [
        { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
        { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
      ],
    }).architectures,
    ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  );
  assert.deepEqual(render({ architectures: ['SCMP_ARCH_X32'] }).architectures, ['SCMP_ARCH_X32']);
  assert.deepEqual(render({ syscalls: [] }).architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']);

  const since = { names: ['ptrace'], action: 'SCMP_ACT_ERRNO', includes: { minKernel: '4.8' } };
  const until = { names: ['ptrace'], action: 'SCMP_ACT_ERRNO', excludes: { minKernel: '6.10' } };
  for (const [rule, kernel, there] of [
    [since, '4.7.9', false],
    [since, '4.8', true],
    [since, '6.1.0-debian', true],
    [since, '', true],
    [until, '6.9', true],
    [until, '6.10.1', false],
    [until, '7.0', false],
  ] as const)
    // prettier-ignore
    assert.equal(render({ syscalls: [rule] }, kernel).syscalls?.length, there ? 1 : 0, kernel);

  const wide = parseSeccompProfile(
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["lseek"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}',
    [],
    'x64',
  );
  assert.ok(wide.ok);
  assert.equal(wide.value.syscalls?.[0]?.args?.[0]?.value, 18446744073709551615n);
});

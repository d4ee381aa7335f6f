import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuntimeLinux, RuntimeProcess } from '@gantry/oci';
import fc from 'fast-check';
import { writeKernelSettings } from './kernel-settings.js';
import { parseNumberList } from './number-list.js';
import { planTag, PlanWriter, readPlan } from './plan-format.js';
import { type ProcessSurroundings, writeProcess } from './process-plan.js';
import { sysctlPath } from './sysctl-rules.js';

const ALL_NAMESPACES = 0x80n | 0x20000n | 0x2000000n | 0x4000000n | 0x8000000n | 0x10000000n | 0x40000000n;

function plan(process: Partial<RuntimeProcess>, surroundings: ProcessSurroundings = {}) {
  const writer = new PlanWriter();
  const whole = { user: { uid: 0, gid: 0 }, args: ['sh'], cwd: '/', ...process };
  writeProcess(writer, whole, undefined, surroundings);
  return readPlan(writer.finish());
}

function payload(tag: number, process: Partial<RuntimeProcess>, surroundings?: ProcessSurroundings): Buffer {
  return plan(process, surroundings).find((record) => record.tag === tag)?.payload ?? Buffer.alloc(0);
}

function settings(linux: RuntimeLinux, own = ALL_NAMESPACES, hostNetwork = false) {
  const writer = new PlanWriter();
  writeKernelSettings(writer, { ociVersion: '1.3.0', linux }, { own, created: own }, hostNetwork);
  return readPlan(writer.finish());
}

const masks = (bytes: Buffer): bigint[] => [0, 1, 2, 3, 4].map((set) => bytes.readBigUInt64LE(set * 8));

test('resource limits of 64 bits reach the kernel to the last bit, and what is rounded up to 2^64 is unlimited', () => {
  const limit = (soft: number | bigint, hard: number | bigint): bigint[] => {
    const bytes = payload(planTag.rlimit, { rlimits: [{ type: 'RLIMIT_CORE', soft, hard }] });
    return [bytes.readBigUInt64LE(4), bytes.readBigUInt64LE(12)];
  };
  assert.deepEqual(limit(2n ** 53n + 1n, 2n ** 64n - 2n), [2n ** 53n + 1n, 2n ** 64n - 2n]);
  assert.deepEqual(limit(0, 2n ** 64n - 1n), [0n, 2n ** 64n - 1n]);
  assert.deepEqual(limit(1, 18446744073709551615), [1n, 2n ** 64n - 1n]);
});

test('capabilities that cannot be given are left out with a warning, not refused', () => {
  const warnings: string[] = [];
  const bytes = payload(
    planTag.capabilities,
    {
      capabilities: {
        bounding: ['CAP_CHOWN', 'CAP_KILL', 'CAP_FROM_TOMORROW'],
        permitted: ['CAP_CHOWN', 'CAP_KILL', 'CAP_SYS_ADMIN'],
        effective: ['CAP_CHOWN', 'CAP_FOWNER'],
        inheritable: ['CAP_CHOWN', 'CAP_FOWNER'],
        ambient: ['CAP_CHOWN', 'CAP_KILL'],
      },
    },
    { host: { heldCapabilities: 0x29n }, warn: (warning) => warnings.push(warning) },
  );
  assert.deepEqual(masks(bytes), [0x21n, 0x1n, 0x1n, 0x21n, 0x1n]);
  assert.deepEqual(warnings, [
    'process.capabilities.bounding has "CAP_FROM_TOMORROW", which is not a capability here: left out',
    'process.capabilities.permitted has CAP_SYS_ADMIN, which Gantry itself does not have: left out',
    'process.capabilities.effective has CAP_FOWNER, which is not in the permitted set: left out',
    'process.capabilities.inheritable has CAP_FOWNER, which is not in the bounding set: left out',
    'process.capabilities.ambient has CAP_KILL, which is not in both the permitted and the inheritable set: left out',
  ]);
});

test('lists of CPUs and nodes are masks in whole words, and nothing else is taken for one', () => {
  assert.equal(parseNumberList('0-3,7', 'x').toString('hex'), '8f00000000000000');
  assert.equal(parseNumberList('64', 'x').toString('hex'), '00000000000000000100000000000000');
  assert.equal(parseNumberList('', 'x').length, 0);
  for (const bad of ['3-1', '-1', 'a', '1,,2', '0x3', '9000', '1-', ','])
    assert.throws(() => parseNumberList(bad, 'x'), /which is not a list of numbers and ranges/, bad);
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(8191), { minLength: 1, maxLength: 20 }), (numbers) => {
      const mask = parseNumberList(numbers.join(','), 'x');
      for (const number of numbers) assert.ok((mask[number >> 3] ?? 0) & (1 << (number & 7)));
      assert.equal(mask.length % 8, 0);
    }),
  );
});

test('a scheduler whose values do not belong to its policy is refused by name', () => {
  const cases: [NonNullable<RuntimeProcess['scheduler']>, RegExp][] = [
    [{ policy: 'SCHED_FAIR' }, /^process\.scheduler\.policy is "SCHED_FAIR", which is none of SCHED_OTHER, /],
    [{ policy: 'SCHED_OTHER', nice: 20 }, /^process\.scheduler\.nice is 20, which is not from -20 to 19$/],
    [{ policy: 'SCHED_BATCH', priority: 1 }, /^process\.scheduler\.priority is for SCHED_FIFO and SCHED_RR/],
    [{ policy: 'SCHED_RR', runtime: 5 }, /^process\.scheduler has runtime, deadline or period/],
    [{ policy: 'SCHED_OTHER', flags: ['SCHED_FLAG_X'] }, /^process\.scheduler\.flags is "SCHED_FLAG_X"/],
    [{ policy: 'SCHED_DEADLINE', deadline: 2048 }, /requires `runtime`$/],
    [{ policy: 'SCHED_DEADLINE', runtime: 2048 }, /requires `deadline`$/],
    [{ policy: 'SCHED_DEADLINE', runtime: 4096, deadline: 2048 }, /must be <= deadline 2048$/],
    [{ policy: 'SCHED_DEADLINE', runtime: -1 }, /^process\.scheduler\.runtime is -1/],
  ];
  for (const [scheduler, message] of cases) assert.throws(() => plan({ scheduler }), { message });
  assert.throws(() => plan({ ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 8 } }), {
    message: /^process\.ioPriority\.priority is 8, which is not from 0 to 7$/,
  });
});

test('a memory policy has nodes exactly when its mode takes them', () => {
  const domain = (mode: string, nodes?: string) => ({
    domain: { memoryPolicy: nodes === undefined ? { mode } : { mode, nodes } },
  });
  assert.throws(
    () => plan({}, domain('MPOL_BIND')),
    /^SpecRefusal: linux\.memoryPolicy MPOL_BIND has no nodes/,
  );
  assert.throws(() => plan({}, domain('MPOL_LOCAL', '0')), /MPOL_LOCAL takes no nodes/);
  assert.throws(() => plan({}, domain('MPOL_NEAR')), /linux\.memoryPolicy\.mode is "MPOL_NEAR"/);
  assert.doesNotThrow(() => plan({}, domain('MPOL_PREFERRED')));
});

test('labels of a security module that the kernel runs without are refused by name, with it they are written', () => {
  const both = { host: { modules: { apparmor: true, selinux: true } } };
  assert.throws(() => plan({ apparmorProfile: 'strict' }), {
    message: 'process.apparmorProfile is "strict", but the kernel runs without AppArmor',
  });
  assert.throws(() => plan({ selinuxLabel: 'a:b:c:s0' }), {
    message: 'process.selinuxLabel is "a:b:c:s0", but the kernel runs without SELinux',
  });
  assert.equal(payload(planTag.securityLabel, { apparmorProfile: 'unconfined' }).length, 0);
  assert.match(payload(planTag.securityLabel, { apparmorProfile: 'strict' }, both).toString(), /exec strict/);
  assert.match(payload(planTag.securityLabel, { selinuxLabel: 'a:b:c:s0' }, both).toString(), /a:b:c:s0/);
});

test('sysctls are refused by name unless a namespace of the container has them', () => {
  const uts = 0x4000000n;
  const refused = (key: string, own: bigint, message: string): void =>
    assert.throws(() => settings({ sysctl: { [key]: '1' } }, own), { message });
  const none = "is the host's own: linux.namespaces has no";
  refused('kernel.shmmax', uts, `linux.sysctl kernel.shmmax ${none} ipc namespace`);
  refused('fs.mqueue.msg_max', uts, `linux.sysctl fs.mqueue.msg_max ${none} ipc namespace`);
  refused('net.ipv4.ip_forward', uts, `linux.sysctl net.ipv4.ip_forward ${none} network namespace`);
  refused('user.max_user_namespaces', uts, `linux.sysctl user.max_user_namespaces ${none} user namespace`);
  refused('kernel.domainname', 0n, `linux.sysctl kernel.domainname ${none} uts namespace`);
  refused('kernel.hostname', uts, 'linux.sysctl kernel.hostname is what hostname is for');
  refused(
    'vm.overcommit_memory',
    ALL_NAMESPACES,
    'linux.sysctl vm.overcommit_memory is not separate for each container, so it is not allowed',
  );
  assert.throws(
    () => settings({ sysctl: { 'net.core.somaxconn': '1' } }, ALL_NAMESPACES, true),
    /is the host's own/,
  );
  const sysctl = { 'net.core.somaxconn': '1', 'kernel/sem': '1 2 3 4', 'kernel.domainname': 'd' };
  assert.equal(settings({ sysctl }).length, 3);
});

test('the separator of a sysctl that comes first is the one, and the other stands for itself', () => {
  assert.equal(sysctlPath('net.ipv4.conf.eth0.forwarding'), 'net/ipv4/conf/eth0/forwarding');
  assert.equal(sysctlPath('net/ipv4/conf/eth0.1/forwarding'), 'net/ipv4/conf/eth0.1/forwarding');
  assert.equal(sysctlPath('net.ipv4.conf.eth0/1.forwarding'), 'net/ipv4/conf/eth0.1/forwarding');
  for (const bad of ['net/../../x', 'net..x', '/net/x', 'net/./x', ''])
    assert.throws(() => sysctlPath(bad), /which is not a sysctl$/, bad);
});

test('clock offsets need a new time namespace and are whole numbers of a known clock', () => {
  const offsets = (timeOffsets: NonNullable<RuntimeLinux['timeOffsets']>, own = ALL_NAMESPACES) =>
    settings({ timeOffsets }, own)[0]?.payload.toString() ?? '';
  assert.match(
    offsets({ monotonic: { secs: -5, nanosecs: 1 }, boottime: { secs: 7n } }),
    /monotonic -5 1\nboottime 7 0\n/,
  );
  assert.equal(offsets({}, 0n), '');
  assert.throws(() => offsets({ monotonic: {} }, 0n), /no new time namespace$/);
  assert.throws(
    () => offsets({ realtime: { secs: 1 } }),
    /has "realtime", which is neither monotonic nor boottime$/,
  );
  assert.throws(() => offsets({ boottime: { nanosecs: 1e9 } }), /is not below a second$/);
  assert.throws(() => offsets({ boottime: { secs: 2n ** 63n } }), /has more than 64 bits$/);
});

test('network devices move into a network namespace of the container, each under a name of its own', () => {
  const devices = (netDevices: NonNullable<RuntimeLinux['netDevices']>, own = ALL_NAMESPACES, host = false) =>
    settings({ netDevices }, own, host).length;
  assert.equal(devices({ eth1: {}, eth2: { name: 'lan%d' }, eth3: { name: 'lan%d' } }), 3);
  assert.throws(() => devices({ eth1: {} }, 0n), /has eth1, but linux\.namespaces has no network namespace/);
  assert.throws(() => devices({ eth1: {} }, ALL_NAMESPACES, true), /no network namespace to move it to/);
  assert.throws(() => devices({ eth1: { name: 'a' }, eth2: { name: 'a' } }), /names two devices a$/);
  for (const name of ['sixteen-letters-', 'a/b', 'a b', '..', 'a:b'])
    assert.throws(() => devices({ eth1: { name } }), /is not the name of a network device$/, name);
});

test('intelRdt and labels without their kernel aside, no property of a process is refused', () => {
  assert.doesNotThrow(() =>
    plan({
      user: {
        uid: 1,
        gid: 2,
        umask: 0o77,
        additionalGids: Array.from({ length: 5000 }, (_, group) => group),
      },
      scheduler: {
        policy: 'SCHED_DEADLINE',
        runtime: 1024n,
        deadline: 2048n,
        period: 3072n,
        flags: ['SCHED_FLAG_RECLAIM'],
      },
      ioPriority: { class: 'IOPRIO_CLASS_RT', priority: 7 },
      execCPUAffinity: { initial: '0', final: '0-1' },
      oomScoreAdj: -1000,
    }),
  );
});

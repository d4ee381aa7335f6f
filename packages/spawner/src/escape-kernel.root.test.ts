import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { type Attacker, attackers, EscapeFixture } from './escape-fixture.js';
import { skipUnlessRoot } from './spawner-fixture.js';

// Ways out through what the kernel shows in /proc, /sys and its cgroups.

const options = { skip: skipUnlessRoot, timeout: 120_000 };
const HIERARCHY = `gantry-test-escape-${process.pid}`;
/** What docker hides and protects. */
const RESTRICTED = {
  maskedPaths: [
    '/proc/acpi', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list',
    '/proc/sched_debug', '/proc/scsi', '/sys/firmware', '/sys/devices/virtual/powercap',
  ],
  readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
}; // prettier-ignore
let fixture: EscapeFixture;
/** Of the test's own, so that nothing that is tried there can do harm; undefined where the kernel has no cgroups v1. */
let hierarchy: string | undefined;

before(async () => {
  if (skipUnlessRoot !== false) return;
  fixture = await EscapeFixture.make();
  const path = fixture.base.makeDirectory('hierarchy');
  try {
    execFileSync('mount', ['-t', 'cgroup', '-o', `none,name=${HIERARCHY}`, 'none', path], {
      stdio: 'ignore',
    });
    hierarchy = path;
  } catch {
    hierarchy = undefined;
  }
});
after(async () => {
  if (hierarchy !== undefined) execFileSync('umount', [hierarchy]);
  await fixture?.remove();
});

/** Each says a word when it has worked. */
const UNCOVER = [
  'mkdir -p /tmp/p /tmp/r /tmp/s',
  'for path in /proc/interrupts /proc/kcore /proc/sys /sys/firmware; do busybox umount -l $path && echo uncovered $path; done',
  'mount -t proc proc /tmp/p && echo fresh-proc',
  'mount -t sysfs sysfs /tmp/s && echo fresh-sysfs',
  'mount --bind /proc /tmp/r && echo bound',
  'mount --rbind /proc /tmp/r && busybox umount -l /tmp/r/interrupts && echo bound-uncovered',
  'mount -o remount,rw /proc/sys && echo remounted',
  'mount -o remount,bind,rw /proc/sys && echo remounted-bind',
  'mount --move /proc/interrupts /tmp/p && echo moved',
  'head -n 1 /proc/interrupts | grep -q CPU && echo seen',
  'value=$(cat /proc/sys/kernel/shmmni); echo $value >/proc/sys/kernel/shmmni && echo written',
  'echo over',
].join('\n');

for (const [how, command] of [
  ['itself', ['sh', '-c', UNCOVER]],
  ['in a user namespace that it makes', ['attacker', 'nested', 'sh', '-c', UNCOVER]],
] as const)
  test(
    `the host's root with default capabilities uncovers no masked path and makes none writable, ${how}`,
    options,
    async () => {
      const { stdout, stderr } = await fixture.run(
        'rootful',
        fixture.specBy('rootful', command, { linux: RESTRICTED }),
      );
      assert.equal(stdout, how === 'itself' ? 'over\n' : 'nested\nover\n', stderr);
    },
  );

test(
  'where nothing is masked, a user namespace made inside does mount a fresh /proc: the attack itself works',
  options,
  async () => {
    const { stdout } = await fixture.run(
      'rootful',
      fixture.specBy('rootful', ['attacker', 'nested', 'sh', '-c', UNCOVER], {
        linux: { maskedPaths: [], readonlyPaths: [] },
      }),
    );
    assert.match(stdout, /^fresh-proc$/m);
  },
);

test(
  "root with all capabilities in a user namespace opens none of the kernel's switches for writing, even where nothing is masked or read-only",
  options,
  async () => {
    const switches = [
      '/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sys/kernel/hotplug',
      '/proc/sys/vm/panic_on_oom', '/proc/sys/fs/binfmt_misc/register', '/proc/sys/kernel/panic', '/proc/kcore', '/proc/mtrr',
      '/sys/kernel/uevent_helper', '/sys/kernel/mm/transparent_hugepage/enabled', '/sys/power/state', '/sys/fs/cgroup/release_agent',
    ]; // prettier-ignore
    const script = [
      'mount -o remount,rw /sys; mount -o remount,bind,rw /sys',
      'head -n 1 /proc/interrupts | grep -q CPU && echo seen',
      `for path in ${switches.join(' ')}; do test -e $path && (: >>$path) && echo open $path; done`,
      'echo over',
    ].join('\n');
    const { stdout } = await fixture.run(
      'almighty',
      fixture.specBy('almighty', ['sh', '-c', script], { linux: { maskedPaths: [], readonlyPaths: [] } }),
    );
    assert.equal(stdout, 'seen\nover\n');
  },
);

function cgroupAttack(writes: Readonly<Record<string, string>>, makes: boolean): string {
  return [
    'mkdir -p /tmp/c',
    `mount -t cgroup -o none,name=${HIERARCHY} none /tmp/c && echo mounted`,
    ...Object.entries(writes).map(
      ([file, value]) => `test -e /tmp/c/${file} && echo ${value} >/tmp/c/${file} && echo wrote ${file}`,
    ),
    ...(makes ? ['mkdir /tmp/c/made && echo made'] : []),
    'echo over',
  ].join('\n');
}

const cgroupCases: [Attacker, string, readonly string[], string][] = [
  ['almighty', 'itself', [], 'mounted\nover\n'],
  ['almighty', 'in a user namespace that it makes', ['attacker', 'nested'], 'nested\nmounted\nover\n'],
  ['rootful', 'itself', [], 'over\n'],
  // Its ids own the hierarchy's files there: only the kernel itself stands between.
  ['rootful', 'in a user namespace that it makes', ['attacker', 'nested'], 'nested\nmounted\nover\n'],
];
for (const [kind, how, prefix, expected] of cgroupCases)
  test(
    `${attackers[kind]} sets no release agent, ${how} (CVE-2022-0492)`,
    options,
    async (context: TestContext) => {
      if (hierarchy === undefined) return context.skip('this machine cannot mount cgroups v1');
      const writes =
        kind === 'almighty'
          ? { release_agent: '/bin/evil', notify_on_release: '1', tasks: '0', 'cgroup.procs': '0' }
          : { release_agent: '/bin/evil' };
      const script = cgroupAttack(writes, kind === 'almighty');
      const { stdout, stderr } = await fixture.run(
        kind,
        fixture.specBy(kind, [...prefix, 'sh', '-c', script]),
      );
      assert.equal(stdout, expected, stderr);
      assert.equal(readFileSync(join(hierarchy, 'release_agent'), 'utf8').trim(), '');
      assert.equal(readFileSync(join(hierarchy, 'notify_on_release'), 'utf8').trim(), '0');
      assert.equal(existsSync(join(hierarchy, 'made')), false);
    },
  );

test(
  'root with all capabilities in a user namespace leaves no cgroup and changes none, in any hierarchy',
  options,
  async () => {
    const cgroups = fixture.base.makeCgroups('escape', ['memory', 'pids', 'unified', '']);
    assert.ok(cgroups.length > 0, 'this machine has none of the hierarchies that the test knows');
    const script = [
      'before=$(cat /proc/self/cgroup)',
      'mkdir -p /tmp/memory /tmp/pids /tmp/two',
      'mount -t cgroup -o memory none /tmp/memory; mount -t cgroup -o pids none /tmp/pids; mount -t cgroup2 none /tmp/two',
      'for place in /tmp/memory /tmp/pids /tmp/two; do',
      '  mkdir $place/made && echo made $place',
      '  for file in memory.limit_in_bytes memory.max pids.max cgroup.procs tasks cgroup.subtree_control notify_on_release; do',
      '    test -e $place/$file && (: >>$place/$file) && echo open $place/$file',
      '  done',
      '  for file in $place/../cgroup.procs $place/release_agent; do test -e $file && echo reached $file; done',
      'done',
      'test "$before" = "$(cat /proc/self/cgroup)" && echo over',
    ].join('\n');
    for (const prefix of [[], ['attacker', 'nested']]) {
      const spec = fixture.specBy('almighty', [...prefix, 'sh', '-c', script]);
      const { stdout, stderr } = await fixture.base.run(spec, {
        ...fixture.startOptions('almighty'),
        cgroups,
      });
      assert.equal(stdout, prefix.length === 0 ? 'over\n' : 'nested\nover\n', stderr);
    }
    for (const { path } of cgroups) assert.equal(existsSync(join(path, 'made')), false);
  },
);

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { RuntimeSpec } from '@gantry/oci';
import { isGantryError } from '@gantry/protocol';
import { type Attacker, attackers, EscapeFixture, processBy } from './escape-fixture.js';
import { KERNEL_MOUNTS, skipUnlessRoot } from './spawner-fixture.js';

// Ways out through what is mounted, and through what is written to while the root is furnished.

const options = { skip: skipUnlessRoot, timeout: 120_000 };
const kinds = Object.keys(attackers) as Attacker[];
type Mounts = NonNullable<RuntimeSpec['mounts']>;
let fixture: EscapeFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await EscapeFixture.make();
});
after(async () => fixture?.remove());

const isRefusal = (error: unknown): boolean =>
  isGantryError(error, 'invalid_argument') || isGantryError(error, 'failed_precondition');

function bind(source: string, destination: string): Mounts[number] {
  return { destination, type: 'bind', source, options: ['rbind', 'idmap'] };
}

function without(destination: string): Mounts {
  return KERNEL_MOUNTS.filter((mount) => !`${mount.destination}/`.startsWith(`${destination}/`));
}

for (const kind of kinds)
  test(
    `a name that ${attackers[kind]} exchanges for a link while mounts beneath it are made leads none of them outside (CVE-2021-30465)`,
    options,
    async () => {
      const name = `race-${kind}`;
      const outside = fixture.base.makeDirectory(`${name}-outside`);
      const volume = fixture.base.makeDirectory(`${name}-volume`);
      mkdirSync(join(volume, 'dir/sub'), { recursive: true });
      mkdirSync(join(outside, 'sub'));
      symlinkSync(outside, join(volume, 'link'));
      symlinkSync(`../../../../../../../..${outside}`, join(volume, 'link-up'));
      for (const path of [outside, join(outside, 'sub'), volume, join(volume, 'dir')]) chmodSync(path, 0o777);
      const file = join(fixture.base.directory, `${name}-file`);
      writeFileSync(file, 'mounted\n');
      const shared = [...KERNEL_MOUNTS, bind(volume, '/vol')];
      const swap = ['attacker', 'swap', '/vol/dir', kind === 'rootful' ? '/vol/link' : '/vol/link-up', '3'];
      const attack = fixture.run(kind, fixture.specBy(kind, swap, { mounts: shared }));
      const mountsBefore = readFileSync('/proc/self/mountinfo', 'utf8');
      const look = [
        'sh',
        '-c',
        `ls ${fixture.marker} ${outside}/../host-only 2>/dev/null && echo escaped; echo ran`,
      ];
      const spec = fixture.specBy(kind, look, {
        mounts: [
          ...shared,
          { destination: '/vol/dir/sub', type: 'tmpfs', source: 'tmpfs', options: [] },
          { destination: '/vol/dir/made/in/here', type: 'tmpfs', source: 'tmpfs', options: [] },
          bind(file, '/vol/dir/sub/file'),
          bind(file, '/vol/dir/new/file'),
        ],
      });
      let ran = 0;
      for (const end = Date.now() + 2500; Date.now() < end;) {
        try {
          const { stdout } = await fixture.run(kind, spec);
          assert.equal(stdout, 'ran\n');
          ran++;
        } catch (error) {
          if (!isRefusal(error)) throw error;
        }
      }
      const { stdout } = await attack;
      assert.ok(Number(/^swapped (\d+)$/m.exec(stdout)?.[1]) > 100, stdout);
      assert.ok(ran > 0, 'some starts met no exchange');
      assert.deepEqual(readdirSync(outside), ['sub']);
      assert.deepEqual(readdirSync(join(outside, 'sub')), []);
      const isOurs = (line: string): boolean => line.includes(name);
      const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter(isOurs);
      assert.deepEqual(lines, mountsBefore.split('\n').filter(isOurs));
    },
  );

for (const kind of kinds) {
  test(
    `a null device that is a link does not cover a masked file for ${attackers[kind]} (CVE-2025-31133)`,
    options,
    async () => {
      const image = fixture.image(`null-${kind}`);
      const devices = fixture.base.makeDirectory(`null-devices-${kind}`);
      symlinkSync('/bait', join(devices, 'null'));
      for (const name of ['bait', 'secret']) writeFileSync(join(image, name), `${name}\n`);
      const { stdout } = await fixture.run(
        kind,
        fixture.specBy(kind, ['sh', '-c', 'stat -c %t:%T /secret; cat /secret /bait'], {
          mounts: [...without('/dev'), bind(devices, '/dev')],
          linux: { maskedPaths: ['/secret'], readonlyPaths: [] },
        }),
        image,
      );
      assert.equal(stdout, '1:3\nbait\n');
    },
  );

  test(
    `links in place of the terminals' files lead ${attackers[kind]} nowhere (CVE-2025-52565)`,
    options,
    async () => {
      const outside = fixture.base.makeDirectory(`console-outside-${kind}`);
      chmodSync(outside, 0o777);
      const devices = fixture.base.makeDirectory(`console-devices-${kind}`);
      mkdirSync(join(devices, 'pts'));
      symlinkSync('/bait', join(devices, 'pts/ptmx'));
      symlinkSync(`../../../../../../../..${outside}/made`, join(devices, 'console'));
      const image = fixture.image(`console-${kind}`);
      writeFileSync(join(image, 'bait'), 'bait\n');
      const command = ['sh', '-c', 'tty; cat /bait'];
      const spec = (mounts: Mounts): RuntimeSpec => {
        const plain = fixture.specBy(kind, command, { mounts });
        return { ...plain, process: { ...processBy(kind, command), terminal: true } };
      };
      const hostile = [...without('/dev'), bind(devices, '/dev')];
      await assert.rejects(
        fixture.run(kind, spec(hostile), image),
        (error) => isRefusal(error) && /open terminal/.test(String(error)),
      );
      // With a devpts of its own the terminal is a real one, and the console's link is followed in the root alone.
      const pts = KERNEL_MOUNTS.filter(({ destination }) => destination === '/dev/pts');
      rmSync(join(devices, 'pts/ptmx'));
      const { stdout } = await fixture.run(kind, spec([...hostile, ...pts]), image);
      assert.match(stdout, /^\/dev\/(pts\/0|console)\r\nbait\r\n$/);
      assert.deepEqual(readdirSync(outside), []);
    },
  );

  test(
    `no mount or link over /proc leads a kernel setting of the container of ${attackers[kind]} to another file (CVE-2025-52881)`,
    options,
    async () => {
      const hostile = fixture.base.makeDirectory(`settings-${kind}`);
      chmodSync(hostile, 0o777);
      // A file of procfs, too, which no check of the file system's type tells from the setting.
      symlinkSync('/proc/self/oom_score_adj', join(hostile, 'shmmni'));
      symlinkSync('../oom_score_adj', join(hostile, 'msgmni'));
      const plain = join(fixture.base.directory, `setting-${kind}`);
      writeFileSync(plain, 'untouched\n');
      chmodSync(plain, 0o666);
      const cases: [string, Mounts[number]][] = [
        ['kernel.shmmni', bind(hostile, '/proc/sys/kernel')],
        ['kernel.msgmni', bind(hostile, '/proc/sys/kernel')],
        ['kernel.shmmni', bind(plain, '/proc/sys/kernel/shmmni')],
        ['kernel.shmmni', { ...bind('/proc/uptime', '/proc/sys/kernel/shmmni'), options: ['bind'] }],
        ['kernel.shmmni', { destination: '/proc/sys', type: 'tmpfs', source: 'tmpfs', options: [] }],
      ];
      for (const [key, mount] of cases) {
        const mounts = [...KERNEL_MOUNTS, mount];
        const spec = fixture.specBy(kind, ['true'], { mounts, linux: { sysctl: { [key]: '123' } } });
        await assert.rejects(
          fixture.run(kind, spec),
          (error) => isRefusal(error) && /set sysctl/.test(String(error)),
          mount.destination,
        );
      }
      assert.equal(readFileSync(plain, 'utf8'), 'untouched\n');
    },
  );

  for (const [directory, type] of [
    ['proc', 'proc'],
    ['sys', 'sysfs'],
  ] as const)
    test(
      `an image whose /${directory} is a link gets no ${type} behind it for ${attackers[kind]} (CVE-2019-19921)`,
      options,
      async () => {
        const image = fixture.image(`link-${directory}-${kind}`);
        rmSync(join(image, directory), { recursive: true });
        for (const target of ['/elsewhere', '/tmp']) {
          symlinkSync(target, join(image, directory));
          await assert.rejects(
            fixture.run(kind, fixture.specBy(kind, ['true']), image),
            (error) => isRefusal(error) && String(error).includes(`mount ${type}`),
          );
          rmSync(join(image, directory));
        }
      },
    );
}

test('a terminal is not made from what a container has mounted over /dev/pts/ptmx', options, async () => {
  const wait = ['sh', '-c', 'mount --bind /dev/full /dev/pts/ptmx && echo covered; sleep 600'];
  const holder = await fixture.start('almighty', fixture.specBy('almighty', wait));
  for (let tries = 0; fixture.base.readLog(holder.id).length === 0 && tries < 100; tries++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(fixture.base.readLog(holder.id)[0]?.log, 'covered\n');
  await assert.rejects(
    fixture.exec(holder.id, { ...processBy('almighty', ['true']), terminal: true }),
    (error) => isRefusal(error) && /terminal/.test(String(error)),
  );
  holder.main.signal(9);
});

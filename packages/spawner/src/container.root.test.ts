import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DEFAULT_CAPABILITIES, defaultSeccomp } from '@gantry/oci';
import { isGantryError } from '@gantry/protocol';
import { describeProcess } from './describe.js';
import {
  eventually,
  handleOf,
  ID_BASE,
  newId,
  processesOf,
  skipUnlessRoot,
  SpawnerFixture,
  specOf,
} from './spawner-fixture.js';

const options = { skip: skipUnlessRoot };
const seccomp = defaultSeccomp(DEFAULT_CAPABILITIES, process.arch === 'arm64' ? 'arm64' : 'x64');
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make();
});
after(async () => fixture?.remove());

test('all eight namespaces differ from the host and root inside is nobody outside', options, async () => {
  const { main } = await fixture.start(specOf(['sleep', '60'], { linux: { seccomp } }));
  const facts = describeProcess(main.start.pid, 0);
  const namespaces = facts.namespaces ?? [];
  assert.equal(namespaces.length, 8);
  for (const { kind, inode, hostInode } of namespaces) assert.notEqual(inode, hostInode, `${kind} namespace`);
  assert.deepEqual(facts.uidMap, [`0 ${ID_BASE} 65536`]);
  assert.deepEqual(facts.gidMap, [`0 ${ID_BASE} 65536`]);
  assert.equal(facts.hostUid, ID_BASE);
  main.signal(9);
  await main.exited;
});

test('capabilities, no_new_privs and seccomp are what was asked for, seen from inside', options, async () => {
  const { stdout } = await fixture.run(specOf(['cat', '/proc/self/status'], { linux: { seccomp } }));
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(stdout)?.[1];
  assert.equal(field('CapEff'), '00000000a80425fb');
  assert.equal(field('CapBnd'), '00000000a80425fb');
  assert.equal(field('CapInh'), '0000000000000000');
  assert.equal(field('CapAmb'), '0000000000000000');
  assert.equal(field('NoNewPrivs'), '1');
  assert.equal(field('Seccomp'), '2');
  assert.equal(field('Seccomp_filters'), '1');
});

test('a seccomp filter loads without no_new_privs, too', options, async () => {
  const { stdout } = await fixture.run(
    specOf(
      ['grep', '-E', 'NoNewPrivs|Seccomp:|CapEff', '/proc/self/status'],
      { linux: { seccomp } },
      { noNewPrivileges: false },
    ),
  );
  assert.match(stdout, /NoNewPrivs:\s*0/);
  assert.match(stdout, /Seccomp:\s*2/);
  assert.match(stdout, /CapEff:\s*00000000a80425fb/);
});

test('a user, its groups, umask, limits and working directory are set', options, async () => {
  const script =
    'id -u; id -g; id -G; umask; ulimit -n; ulimit -Hn; pwd; grep CapEff /proc/self/status; touch /tmp/mine; stat -c %u:%g:%a /tmp/mine; echo hi > /dev/stderr';
  const limits = [{ type: 'RLIMIT_NOFILE', soft: 100, hard: 200 }];
  const { stdout, stderr, exit } = await fixture.run(
    specOf(
      ['sh', '-c', script],
      {},
      {
        user: { uid: 1000, gid: 1001, additionalGids: [5, 7], umask: 0o27 },
        rlimits: limits,
        cwd: '/made/on/the/way',
        capabilities: { bounding: ['CAP_CHOWN'], effective: [], permitted: [], inheritable: [], ambient: [] },
      },
    ),
  );
  assert.equal(exit.exitCode, 0, stdout + stderr);
  assert.deepEqual(stdout.split('\n').slice(0, 9), [
    '1000',
    '1001',
    '1001 5 7',
    '0027',
    '100',
    '200',
    '/made/on/the/way',
    'CapEff:\t0000000000000000',
    '1000:1001:640',
  ]);
  assert.equal(stderr, 'hi\n', 'stderr can be opened again by its user');
});

test(
  'several id-mapped layers, whiteouts and opaque directories show as one root, and disk keeps plain ids',
  options,
  async () => {
    const top = fixture.makeDirectory('top-layer');
    const middle = fixture.makeDirectory('middle-layer');
    for (const layer of [top, middle]) mkdirSync(join(layer, 'data/hidden'), { recursive: true });
    writeFileSync(join(middle, 'data/deleted'), 'old');
    writeFileSync(join(middle, 'data/kept'), 'kept');
    writeFileSync(join(middle, 'data/hidden/below'), 'old');
    execFileSync('mknod', [join(top, 'data/deleted'), 'c', '0', '0']);
    execFileSync('python3', [
      '-c',
      'import os, sys; os.setxattr(sys.argv[1], "user.overlay.opaque", b"y")',
      join(top, 'data/hidden'),
    ]);
    execFileSync('chown', ['33:33', join(middle, 'data/kept')]);
    const writable = fixture.makeWritable();
    const { stdout, exit } = await fixture.run(
      specOf([
        'sh',
        '-c',
        'ls /data /data/hidden; stat -c %u:%g /data/kept; echo new > /data/new; chown 33:34 /data/new; rm /data/kept',
      ]),
      { rootfs: { lowerdirs: [top, middle, fixture.layer].map(handleOf), writable: handleOf(writable) } },
    );
    assert.equal(exit.exitCode, 0);
    assert.deepEqual(stdout.split('\n').filter(Boolean), [
      '/data:',
      'hidden',
      'kept',
      '/data/hidden:',
      '33:33',
    ]);
    const made = statSync(join(writable, 'upper/data/new'));
    assert.deepEqual([made.uid, made.gid], [33, 34]);
    assert.equal(statSync(join(writable, 'upper/data/kept')).rdev, 0);
    assert.ok(statSync(join(writable, 'upper/data/kept')).isCharacterDevice(), 'a deletion is a whiteout');
  },
);

test('a hundred layers are mounted', options, async () => {
  const layers = Array.from({ length: 100 }, (_, index) => {
    const path = fixture.makeDirectory(`many/a-rather-long-name-for-a-layer-${index}`);
    mkdirSync(join(path, 'many'), { recursive: true });
    writeFileSync(join(path, 'many', String(index)), '');
    return handleOf(path);
  });
  const { stdout } = await fixture.run(specOf(['sh', '-c', 'ls /many | wc -l']), {
    rootfs: { lowerdirs: [...layers, handleOf(fixture.layer)], writable: handleOf(fixture.makeWritable()) },
  });
  assert.equal(stdout.trim(), '100');
});

test('the host has no mount of a container, running or ended', options, async () => {
  const mounts = (): string[] =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(fixture.directory));
  const before = mounts();
  const { main } = await fixture.start(specOf(['sleep', '60']));
  assert.deepEqual(mounts(), before);
  main.signal(9);
  await main.exited;
  assert.deepEqual(mounts(), before);
});

test('inside are proc, sys, dev, shm and mqueue, with masked and read-only paths', options, async () => {
  const script = [
    'for device in null zero full random urandom tty; do test -c /dev/$device || echo no $device; done',
    'echo x > /dev/null && head -c 4 /dev/zero | wc -c',
    'for link in fd stdin stdout stderr ptmx; do readlink /dev/$link; done',
    'touch /dev/shm/a /dev/mqueue && echo shm',
    'cat /proc/interrupts | wc -c; ls /proc/fs | wc -l; ls /sys/firmware | wc -l',
    'touch /proc/sys/x 2>/dev/null; echo 1 2>/dev/null > /proc/sys/kernel/shmmni || echo readonly',
    'echo $$; hostname; ls /proc | grep -c "^[0-9]"',
  ].join('\n');
  const { stdout } = await fixture.run(specOf(['sh', '-c', script]));
  assert.deepEqual(stdout.split('\n').filter(Boolean).slice(0, 12), [
    '4', '/proc/self/fd', '/proc/self/fd/0', '/proc/self/fd/1', '/proc/self/fd/2', 'pts/ptmx', 'shm', '0', '0', '0', 'readonly', '1',
  ]); // prettier-ignore
  assert.match(stdout, /^box$/m);
});

test('mounts of the spec: id-mapped volume, read-only file, tmpfs with options', options, async () => {
  const volume = fixture.makeDirectory('volume');
  const file = join(fixture.directory, 'resolv.conf');
  writeFileSync(file, 'nameserver 10.0.0.1\n');
  const base = specOf([
    'sh',
    '-c',
    'cat /etc/resolv.conf; echo a > /vol/a; chown 5:6 /vol/a; echo b > /etc/resolv.conf || echo readonly; grep " /scratch " /proc/mounts',
  ]);
  const { stdout, stderr } = await fixture.run({
    ...base,
    mounts: [
      ...(base.mounts ?? []),
      { destination: '/vol', type: 'bind', source: volume, options: ['rbind', 'idmap'] },
      { destination: '/etc/resolv.conf', type: 'bind', source: file, options: ['bind', 'ro', 'idmap'] },
      {
        destination: '/scratch',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'nodev', 'noexec', 'size=4m', 'mode=700'],
      },
    ],
  });
  assert.match(stdout, /^nameserver 10\.0\.0\.1\nreadonly\n/, stderr);
  assert.match(stdout, /tmpfs \/scratch tmpfs rw,nosuid,nodev,noexec,relatime,size=4096k,mode=700/);
  assert.deepEqual([statSync(join(volume, 'a')).uid, statSync(join(volume, 'a')).gid], [5, 6]);
});

test('a read-only root is read-only, and its mounts are what they are', options, async () => {
  const { stdout, exit } = await fixture.run(
    specOf(['sh', '-c', 'touch /x || echo readonly; touch /dev/shm/x && echo shm'], {
      root: { path: 'rootfs', readonly: true },
    }),
  );
  assert.equal(stdout, 'readonly\nshm\n');
  assert.equal(exit.exitCode, 0);
});

test('sysctls of the network namespace are set before /proc/sys becomes read-only', options, async () => {
  const { stdout } = await fixture.run(
    specOf(['cat', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/kernel/shmmni'], {
      linux: { sysctl: { 'net.ipv4.ip_forward': '1', 'kernel.shmmni': '123' } },
    }),
  );
  assert.equal(stdout, '1\n123\n');
});

test('the process is in its cgroups before it runs, and sees only its own', options, async () => {
  const cgroups = fixture.makeCgroups('join', ['memory', 'pids', 'unified']);
  const { stdout } = await fixture.run(specOf(['sh', '-c', 'cat /proc/self/cgroup; ls /sys/fs/cgroup']), {
    cgroups,
  });
  assert.ok(cgroups.length > 0, 'this machine has none of the hierarchies that the test knows');
  for (const { path } of cgroups) if (path.includes('/memory/')) assert.match(stdout, /:memory:\/$/m);
  assert.doesNotMatch(stdout, /gantry-test/);
});

test('exit codes and signals are reported as they were', options, async () => {
  assert.deepEqual(pick(await fixture.run(specOf(['sh', '-c', 'exit 42']))), [42, 0]);
  assert.deepEqual(pick(await fixture.run(specOf(['true']))), [0, 0]);
  const { main } = await fixture.start(specOf(['sleep', '60']));
  assert.ok(main.signal(9));
  const exit = await main.exited;
  assert.deepEqual([exit.exitCode, exit.signal, exit.lost], [137, 9, false]);
  assert.equal(main.signal(9), false, 'an ended process takes no signal');
  function pick({ exit: { exitCode, signal } }: { exit: { exitCode: number; signal: number } }): number[] {
    return [exitCode, signal];
  }
});

test('signals reach the first process as they are sent', options, async () => {
  const { main, id } = await fixture.start(
    specOf(['sh', '-c', 'trap "echo term; exit 7" TERM; echo ready; while :; do sleep 0.05; done']),
  );
  await eventually('the trap is set', () => fixture.readLog(id).length > 0);
  main.signal(15);
  assert.equal((await main.exited).exitCode, 7);
});

test(
  'a command that does not exist is not_found, one that cannot be executed permission_denied, and nothing is left',
  options,
  async () => {
    const cases = [
      [['no-such-command'], 'not_found', 'command "no-such-command" is not in the container'],
      [['/bin/nothing'], 'not_found', 'command "/bin/nothing" is not in the container'],
      [
        ['/etc/passwd'],
        'permission_denied',
        'command "/etc/passwd" cannot be executed: permission denied (EACCES)',
      ],
      [['/etc'], 'permission_denied', 'command "/etc" cannot be executed: is a directory (EISDIR)'],
    ] as const;
    for (const [args, code, message] of cases) {
      const request = fixture.request(newId(), specOf(args));
      await assert.rejects(
        fixture.spawner.start(request),
        (error) => isGantryError(error, code) && error.message === message && error.object === args[0],
      );
      assert.equal(fixture.spawner.find(request.containerId), undefined);
      assert.equal(existsSync(join(fixture.runDirectory, 'containers', request.containerId)), false);
      await eventually('no process is left', () => processesOf(request.containerId).length === 0);
    }
  },
);

test('every refused handle and path names itself and leaves nothing', options, async () => {
  const gone = { path: '/nonexistent/layer', device: 1, inode: 1 };
  const replaced = { ...handleOf(fixture.layer), inode: 1 };
  for (const [lowerdir, pattern] of [
    [gone, /cannot open layer \/nonexistent\/layer: no such file/],
    [replaced, /cannot open layer .*replaced by another object/],
  ] as const) {
    const request = fixture.request(newId(), specOf(['true']), {
      rootfs: { lowerdirs: [lowerdir], writable: handleOf(fixture.makeWritable()) },
    });
    await assert.rejects(
      fixture.spawner.start(request),
      (error) => isGantryError(error, 'failed_precondition') && pattern.test(error.message),
    );
    assert.equal(existsSync(join(fixture.runDirectory, 'containers', request.containerId)), false);
  }
});

test(
  'an image whose links point out of its root cannot make the host be written to or mounted over',
  options,
  async () => {
    const evil = fixture.makeDirectory('evil-layer');
    cpSync(fixture.layer, evil, { recursive: true, verbatimSymlinks: true });
    const lowerdirs = [handleOf(evil)];
    const outside = fixture.makeDirectory('outside');
    chmodSync(outside, 0o777);
    execFileSync('rm', ['-rf', join(evil, 'etc'), join(evil, 'dev')]);
    symlinkSync(outside, join(evil, 'etc'));
    symlinkSync(`../../../../../../../../..${outside}`, join(evil, 'dev'));
    const file = join(fixture.directory, 'hosts');
    writeFileSync(file, 'hosts\n');
    const base = specOf(['sh', '-c', `cat /etc/hosts; ls ${outside}`]);
    const { stdout, exit } = await fixture.run(
      {
        ...base,
        mounts: [
          ...(base.mounts ?? []),
          { destination: '/etc/hosts', type: 'bind', source: file, options: ['bind'] },
        ],
      },
      { rootfs: { lowerdirs, writable: handleOf(fixture.makeWritable()) } },
    );
    assert.equal(exit.exitCode, 0);
    assert.match(stdout, /^hosts\n/);
    assert.deepEqual(execFileSync('ls', ['-A', outside]).toString(), '', 'nothing was made outside');
    // Links that the kernel itself resolves to another root.
    symlinkSync('/proc/1/root', join(evil, 'magic'));
    const mounts = [
      ...(base.mounts ?? []),
      { destination: '/magic/etc/hosts', type: 'bind', source: file, options: ['bind'] },
    ];
    await assert.rejects(
      fixture.start(
        { ...base, mounts },
        { rootfs: { lowerdirs, writable: handleOf(fixture.makeWritable()) } },
      ),
      (error) =>
        isGantryError(error, 'invalid_argument') &&
        error.message.startsWith('cannot find mount target /magic/etc/hosts:'),
    );
  },
);

test(
  'a plain root directory serves without layers, and without a user namespace root is root',
  options,
  async () => {
    const root = fixture.makeDirectory('plain-root');
    cpSync(fixture.layer, root, { recursive: true, verbatimSymlinks: true });
    const base = specOf(['sh', '-c', 'cat /proc/self/uid_map; ls /sys/class/net; touch /made; id -u']);
    const types = (base.linux?.namespaces ?? []).filter(({ type }) => type !== 'user' && type !== 'network');
    const { stdout, exit, stderr } = await fixture.run(
      { ...base, root: { path: root }, linux: { ...base.linux, namespaces: types } },
      { rootfs: undefined, userNamespace: undefined, networkNamespace: undefined },
    );
    assert.equal(exit.exitCode, 0, stderr);
    assert.match(stdout, /^\s+0\s+0\s+4294967295\n/);
    assert.equal(statSync(join(root, 'made')).uid, 0);
  },
);

test("a user namespace with the host's network gets the host's sysfs, read-only", options, async () => {
  const base = specOf(['sh', '-c', 'touch /sys/kernel/x || echo readonly; readlink /proc/self/ns/net']);
  const types = (base.linux?.namespaces ?? []).filter(({ type }) => type !== 'network');
  const mounts = (base.mounts ?? []).map((mount) =>
    mount.destination === '/sys'
      ? {
          destination: '/sys',
          type: 'bind',
          source: '/sys',
          options: ['rbind', 'rprivate', 'nosuid', 'noexec', 'nodev', 'ro'],
        }
      : mount,
  );
  const { stdout, exit, stderr } = await fixture.run(
    { ...base, mounts, linux: { ...base.linux, namespaces: types } },
    { networkNamespace: undefined },
  );
  assert.equal(exit.exitCode, 0, stderr);
  assert.match(stdout, /^readonly\nnet:/);
});

test('an out-of-memory kill is counted at the exit', options, async () => {
  const cgroups = fixture.makeCgroups('oom', ['memory']);
  const [memory] = cgroups;
  if (memory === undefined) return;
  writeFileSync(join(memory.path, 'memory.limit_in_bytes'), String(8 << 20));
  const { exit } = await fixture.run(specOf(['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=64M', 'count=1']), {
    cgroups,
  });
  assert.equal(exit.signal, 9);
  assert.ok(exit.oomKillCount >= 1);
});

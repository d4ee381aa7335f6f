import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@gantry/test-harness';
import { differently, type Case } from '../case.js';
import { inUserNamespace, mapping, type Seccomp } from '../spec.js';
import type { Subject } from '../subject.js';

const newerThanReferences = {
  runc: differently('came after runc 1.1', /./),
  crun: differently('came after crun 1.8', /./),
};

const timeRefused = differently('crun 1.8 fails to join or make it beside a pid namespace', /./);

/** A process that waits in namespaces of its own. */
async function holder(t: Subject, ...flags: string[]): Promise<number> {
  const child = spawn('unshare', [...flags, 'sleep', '60'], { stdio: 'ignore' });
  t.afterwards(() => child.kill('SIGKILL'));
  const { pid } = child;
  assert.ok(pid);
  await eventually('it sleeps in its namespaces', () =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep'),
  );
  return pid;
}

const files = {
  pid: 'pid',
  network: 'net',
  ipc: 'ipc',
  uts: 'uts',
  mount: 'mnt',
  cgroup: 'cgroup',
  time: 'time',
} as const;

const newNamespaceCases = (Object.keys(files) as (keyof typeof files)[]).map((type): Case => ({
  title: `a new ${type} namespace is neither the host's nor another container's`,
  covers: ['linux.namespaces', 'linux.namespaces[].type', `namespace ${type}: new`],
  async judge(t) {
    if (!t.spec.linux.namespaces.some((one) => one.type === type)) t.spec.linux.namespaces.push({ type });
    const inside = (await t.inside('readlink', `/proc/self/ns/${files[type]}`)).trim();
    assert.match(inside, /^\w+:\[\d+\]$/);
    assert.notEqual(inside, readlinkSync(`/proc/self/ns/${files[type]}`));
  },
  ...(type === 'time' ? { differs: { runc: newerThanReferences.runc, crun: timeRefused } } : {}),
}));

const absentNamespaceCases = (['pid', 'network', 'ipc', 'uts', 'cgroup', 'time'] as const).map(
  (type): Case => ({
    title: `a ${type} namespace that is not listed is the runtime's own`,
    covers: [`namespace ${type}: absent`],
    async judge(t) {
      t.spec.linux.namespaces = t.spec.linux.namespaces.filter((one) => one.type !== type);
      if (type === 'uts') delete t.spec.hostname;
      if (type === 'network')
        t.spec.mounts = t.spec.mounts.map((mount) =>
          mount.type === 'sysfs'
            ? { destination: '/sys', type: 'none', source: '/sys', options: ['rbind', 'ro'] }
            : mount,
        );
      assert.equal(
        (await t.inside('readlink', `/proc/self/ns/${files[type]}`)).trim(),
        readlinkSync(`/proc/self/ns/${files[type]}`),
      );
    },
  }),
);

const joinedNamespaceCases = (['network', 'ipc', 'uts', 'pid', 'cgroup', 'time'] as const).map(
  (type): Case => ({
    title: `a ${type} namespace with a path is joined`,
    covers: ['linux.namespaces[].path', `namespace ${type}: by path`],
    async judge(t) {
      const flags: Record<typeof type, string[]> = {
        network: ['--net'],
        ipc: ['--ipc'],
        uts: ['--uts'],
        pid: ['--pid', '--fork', '--kill-child'],
        cgroup: ['--cgroup'],
        time: ['--time'],
      };
      const outside =
        type === 'pid' ? spawn('unshare', [...flags.pid, 'sleep', '60'], { stdio: 'ignore' }) : undefined;
      if (outside) t.afterwards(() => outside.kill('SIGKILL'));
      const pid = outside
        ? await eventually('it has a child', () => {
            const [child] = readFileSync(`/proc/${outside.pid}/task/${outside.pid}/children`, 'utf8').split(
              ' ',
            );
            return child !== undefined && child !== '' && Number(child);
          })
        : await holder(t, ...flags[type]);
      const path = `/proc/${pid}/ns/${files[type]}`;
      t.spec.linux.namespaces = t.spec.linux.namespaces
        .filter((one) => one.type !== type)
        .concat({ type, path });
      if (type === 'uts') delete t.spec.hostname;
      assert.equal((await t.inside('readlink', `/proc/self/ns/${files[type]}`)).trim(), readlinkSync(path));
    },
    ...(type === 'time' ? { differs: { runc: newerThanReferences.runc, crun: timeRefused } } : {}),
  }),
);

/** Writes that a filter answers; the errno that the process saw. */
const called = async (t: Subject, ...words: string[]): Promise<{ result: string; errno: string }> => {
  const said = await t.inside('payload', 'call', ...words);
  return { result: /result=(.*)/.exec(said)?.[1] ?? '', errno: /errno=(.*)/.exec(said)?.[1] ?? '' };
};

const seccompFor = (name: string, action: string, extra: object = {}): Seccomp => ({
  defaultAction: 'SCMP_ACT_ALLOW',
  architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  syscalls: [{ names: [name], action, ...extra }],
});

const argumentCases = (
  [
    // getpgid(42) is asked for; the rule matches or not.
    ['SCMP_CMP_EQ', 42, 0, true],
    ['SCMP_CMP_EQ', 43, 0, false],
    ['SCMP_CMP_NE', 43, 0, true],
    ['SCMP_CMP_LT', 43, 0, true],
    ['SCMP_CMP_LE', 42, 0, true],
    ['SCMP_CMP_GE', 42, 0, true],
    ['SCMP_CMP_GT', 42, 0, false],
    ['SCMP_CMP_MASKED_EQ', 0x2f, 0x2a, true],
  ] as const
).map(([op, value, valueTwo, matches]): Case => ({
  title: `a seccomp argument rule ${op} ${value} ${matches ? 'matches' : 'does not match'} 42`,
  covers: ['linux.seccomp.syscalls[].args', 'linux.seccomp.syscalls[].args[].*'],
  async judge(t) {
    t.spec.linux.seccomp = seccompFor('getpgid', 'SCMP_ACT_ERRNO', {
      errnoRet: 77,
      args: [{ index: 0, value, valueTwo, op }],
    });
    const { errno } = await called(t, 'getpgid', '42');
    assert[matches ? 'equal' : 'notEqual'](errno, '77');
  },
}));

export const namespaceCases: readonly Case[] = [
  ...newNamespaceCases,
  ...absentNamespaceCases,
  ...joinedNamespaceCases,
  {
    title: 'a namespace path of another type is refused',
    covers: ['linux.namespaces[].path'],
    async judge(t) {
      t.spec.linux.namespaces = t.spec.linux.namespaces
        .filter(({ type }) => type !== 'network')
        .concat({ type: 'network', path: '/proc/self/ns/ipc' });
      await t.refused(/./);
    },
  },
  {
    title: 'a namespace path that does not exist is refused',
    covers: ['linux.namespaces[].path'],
    async judge(t) {
      t.spec.linux.namespaces = t.spec.linux.namespaces
        .filter(({ type }) => type !== 'network')
        .concat({ type: 'network', path: '/no/such/netns' });
      await t.refused(/no\/such\/netns|network/);
    },
  },
  {
    title: 'a namespace listed twice is refused',
    covers: ['linux.namespaces'],
    async judge(t) {
      t.spec.linux.namespaces.push({ type: 'ipc' });
      await t.refused(/duplicate|ipc|namespace/i);
    },
    differs: { crun: differently('crun takes the last one', /accepted/) },
  },
  {
    title: 'a namespace type that does not exist is refused',
    covers: ['linux.namespaces[].type'],
    async judge(t) {
      t.spec.linux.namespaces.push({ type: 'tomorrow' });
      await t.refused(/tomorrow|namespace/i);
    },
  },
  {
    title: 'a user namespace has the mappings asked for',
    covers: [
      'namespace user: new',
      'linux.uidMappings',
      'linux.uidMappings[].*',
      'linux.gidMappings',
      'linux.gidMappings[].*',
    ],
    async judge(t) {
      inUserNamespace(t.spec);
      t.spec.linux['gidMappings'] = [
        { containerID: 0, hostID: 910_000, size: 10 },
        { containerID: 100, hostID: 920_000, size: 5 },
      ];
      const said = (await t.shell('cat /proc/self/uid_map /proc/self/gid_map')).replace(/ +/g, ' ');
      assert.equal(said, ' 0 900000 65536\n 0 910000 10\n 100 920000 5\n');
    },
  },
  {
    title: 'in a user namespace the process runs as the mapped id on the host',
    covers: ['linux.uidMappings'],
    async judge(t) {
      inUserNamespace(t.spec);
      assert.ok(t.spec.process);
      t.spec.process.user = { uid: 7, gid: 8 };
      const status = readFileSync(`/proc/${await t.live()}/status`, 'utf8');
      assert.match(status, /^Uid:\t900007\t900007/m);
      assert.match(status, /^Gid:\t900008\t900008/m);
    },
  },
  {
    title: 'a user namespace with a path is joined',
    covers: ['namespace user: by path'],
    async judge(t) {
      const pid = await holder(t, '--user', '--map-root-user');
      t.spec.linux.namespaces.push({ type: 'user', path: `/proc/${pid}/ns/user` });
      assert.equal(
        (await t.inside('readlink', '/proc/self/ns/user')).trim(),
        readlinkSync(`/proc/${pid}/ns/user`),
      );
    },
    differs: { runc: differently('runc 1.1 asks for mappings all the same', /no uid mappings/) },
  },
  {
    title: 'files of the root are not chowned for a user namespace',
    covers: ['linux.uidMappings'],
    async judge(t) {
      inUserNamespace(t.spec);
      await t.inside('true');
      assert.equal(spawnSync('stat', ['-c', '%u', join(t.rootfs, 'etc/marker')]).stdout.toString(), '0\n');
    },
  },
  {
    title: 'mappings that the kernel cannot take are an error and nothing is left',
    covers: ['linux.uidMappings'],
    async judge(t) {
      inUserNamespace(t.spec, [...mapping, { containerID: 10, hostID: 5_000_000, size: 10 }]);
      await t.refused(/./);
    },
  },
  {
    title: 'timeOffsets move the clocks of a new time namespace',
    covers: ['linux.timeOffsets', 'linux.timeOffsets.*'],
    async judge(t) {
      t.spec.linux.namespaces.push({ type: 'time' });
      t.spec.linux['timeOffsets'] = {
        boottime: { secs: 500_000, nanosecs: 5 },
        monotonic: { secs: 700_000, nanosecs: 7 },
      };
      const facts = await t.facts();
      const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
      assert.ok(Math.abs(Number(facts['boottime']) - uptime - 500_000) < 60, `boottime ${facts['boottime']}`);
      assert.ok(
        Math.abs(Number(facts['monotonic']) - uptime - 700_000) < 60,
        `monotonic ${facts['monotonic']}`,
      );
    },
    differs: newerThanReferences,
  },
  {
    title: 'timeOffsets without a time namespace of its own are refused',
    covers: ['linux.timeOffsets'],
    async judge(t) {
      t.spec.linux['timeOffsets'] = { monotonic: { secs: 1 } };
      await t.refused(/time/i);
    },
    differs: newerThanReferences,
  },
];

export const fileCases: readonly Case[] = [
  {
    title: 'the default devices are there and work',
    covers: [
      'linux.devices',
      ...['null', 'zero', 'full', 'random', 'urandom', 'tty'].map((name) => `default device /dev/${name}`),
    ],
    async judge(t) {
      const said = await t.shell(
        'cd /dev; stat -c "%n %t:%T %a" null zero full random urandom tty; head -c 4 /dev/zero | wc -c; echo x >/dev/full || echo full; head -c 4 /dev/urandom | wc -c; echo x >/dev/null && echo null',
      );
      assert.equal(
        said,
        'null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\nurandom 1:9 666\ntty 5:0 666\n4\nfull\n4\nnull\n',
      );
    },
  },
  {
    title: '/dev/ptmx is that of the devpts of the container',
    covers: ['default device /dev/ptmx', 'default file system /dev/pts'],
    judge: async (t) =>
      assert.match(
        await t.shell('readlink /dev/ptmx; stat -L -c %t:%T /dev/ptmx; grep /dev/pts /proc/mounts'),
        /5:2\n[^]*devpts/,
      ),
  },
  {
    title: 'the links in /dev are there',
    covers: ['dev symbolic links'],
    judge: async (t) =>
      assert.equal(
        await t.shell(
          'readlink /dev/fd /dev/stdin /dev/stdout /dev/stderr || for f in fd stdin stdout stderr; do readlink /dev/$f; done',
        ),
        '/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n',
      ),
  },
  {
    title: 'the default file systems are of their types',
    covers: [
      'default file system /proc',
      'default file system /sys',
      'default file system /dev/shm',
      'default file system /dev/pts',
    ],
    async judge(t) {
      const mounts = await t.inside('cat', '/proc/mounts');
      for (const [place, type] of [
        ['/proc', 'proc'],
        ['/sys', 'sysfs'],
        ['/dev/pts', 'devpts'],
        ['/dev/shm', 'tmpfs'],
      ] as const)
        assert.match(mounts, new RegExp(`^\\S+ ${place} ${type} `, 'm'));
    },
  },
  {
    title: 'a device has the numbers, mode and owner asked for',
    covers: ['linux.devices', 'linux.devices[].*'],
    async judge(t) {
      t.spec.linux['devices'] = [
        { path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o640, uid: 3, gid: 4 },
        { path: '/somewhere/else', type: 'b', major: 7, minor: 0, fileMode: 0o600 },
        { path: '/dev/queue', type: 'p', fileMode: 0o622 },
      ];
      assert.equal(
        await t.inside('stat', '-c', '%n %F %t:%T %a %u:%g', '/dev/fuse', '/somewhere/else', '/dev/queue'),
        '/dev/fuse character special file a:e5 640 3:4\n/somewhere/else block special file 7:0 600 0:0\n/dev/queue fifo 0:0 622 0:0\n',
      );
    },
  },
  {
    title: 'a device in a user namespace is there',
    covers: ['linux.devices'],
    async judge(t) {
      inUserNamespace(t.spec);
      t.spec.linux['devices'] = [
        { path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 0 },
      ];
      assert.equal(await t.inside('stat', '-c', '%t:%T', '/dev/fuse', '/dev/null'), 'a:e5\n1:3\n');
    },
  },
  {
    title: 'a device where another file stands is refused',
    covers: ['linux.devices[].path'],
    async judge(t) {
      t.writeInside('srv/taken', 'a file\n');
      t.spec.linux['devices'] = [{ path: '/srv/taken', type: 'c', major: 1, minor: 3 }];
      await t.refused(/taken/);
    },
    differs: {
      runc: differently('runc 1.1 leaves the file', /accepted/),
      crun: differently('crun leaves the file', /accepted/),
    },
  },
  {
    title: 'a sysctl of a namespace is set',
    covers: ['linux.sysctl'],
    async judge(t) {
      t.spec.linux['sysctl'] = { 'net.ipv4.ip_forward': '1', 'kernel.msgmax': '65530' };
      assert.equal(
        await t.inside('cat', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/kernel/msgmax'),
        '1\n65530\n',
      );
    },
  },
  ...(
    [
      ['kernel.msgmax', 'ipc'],
      ['net.ipv4.ip_forward', 'network'],
    ] as const
  ).map(([key, type]): Case => ({
    title: `the sysctl ${key} without a ${type} namespace of its own is refused`,
    covers: ['linux.sysctl'],
    async judge(t) {
      t.spec.linux.namespaces = t.spec.linux.namespaces.filter((one) => one.type !== type);
      t.spec.mounts = t.spec.mounts.filter((mount) => mount.type !== 'sysfs');
      // The value that it has: a runtime that takes it must not have changed the machine.
      const current = readFileSync(`/proc/sys/${key.replaceAll('.', '/')}`, 'utf8').trim();
      t.spec.linux['sysctl'] = { [key]: current };
      await t.refused(/sysctl|namespace/);
    },
  })),
  {
    title: 'a sysctl of the whole machine is refused',
    covers: ['linux.sysctl'],
    async judge(t) {
      t.spec.linux['sysctl'] = { 'vm.swappiness': readFileSync('/proc/sys/vm/swappiness', 'utf8').trim() };
      await t.refused(/swappiness|sysctl/);
    },
  },
  {
    title: 'masked files are empty, masked directories too',
    covers: ['linux.maskedPaths'],
    async judge(t) {
      t.writeInside('srv/secret', 'secret\n');
      t.writeInside('srv/directory/secret', 'secret\n');
      t.spec.linux.maskedPaths = ['/srv/secret', '/srv/directory', '/proc/timer_list', '/no/such/path'];
      assert.equal(
        await t.shell(
          'cat /srv/secret /proc/timer_list; ls -A /srv/directory; touch /srv/directory/new 2>/dev/null || echo refused',
        ),
        'refused\n',
      );
    },
  },
  {
    title: 'read-only paths can be read and not written',
    covers: ['linux.readonlyPaths'],
    async judge(t) {
      t.writeInside('srv/directory/file', 'kept\n');
      t.spec.linux.readonlyPaths = ['/srv/directory', '/proc/sys', '/no/such/path'];
      assert.match(
        await t.shell(
          'cat /srv/directory/file; touch /srv/directory/new 2>&1; echo 1 >/proc/sys/net/ipv4/ip_forward 2>&1 || true; grep -c "/proc/sys proc ro" /proc/mounts',
        ),
        /kept\n.*Read-only file system\n[^]*1\n$/,
      );
    },
  },
  ...(
    [
      ['shared', /shared:/],
      ['slave', /master:|^$/],
      ['private', /^$/],
      ['unbindable', /unbindable/],
    ] as const
  ).map(([value, tags]): Case => ({
    title: `rootfsPropagation ${value} is that of the root mount`,
    covers: ['linux.rootfsPropagation'],
    async judge(t) {
      t.spec.linux['rootfsPropagation'] = value;
      const root = (await t.inside('cat', '/proc/self/mountinfo'))
        .split('\n')
        .find((line) => line.split(' ')[4] === '/');
      assert.match((root?.split(' - ')[0] ?? '').split(' ').slice(6).join(' '), tags);
    },
    ...(value === 'shared'
      ? { differs: { runc: differently('runc 1.1 leaves the root private', /shared/) } }
      : {}),
    ...(value === 'unbindable'
      ? {
          differs: { runc: differently('runc 1.1 binds the root after it has become unbindable', /invalid/) },
        }
      : {}),
  })),
  {
    title: 'an unknown rootfsPropagation is refused',
    covers: ['linux.rootfsPropagation'],
    async judge(t) {
      t.spec.linux['rootfsPropagation'] = 'sideways';
      await t.refused(/sideways|propagation/i);
    },
    differs: { crun: differently('crun ignores it', /accepted/) },
  },
  {
    title: 'the personality LINUX32 makes uname say i686',
    covers: ['linux.personality', 'linux.personality.domain'],
    async judge(t) {
      t.spec.linux['personality'] = { domain: 'LINUX32' };
      assert.equal((await t.facts())['machine'], 'i686');
    },
    differs: { runc: newerThanReferences.runc },
  },
  {
    title: 'the personality LINUX is the ordinary one',
    covers: ['linux.personality.domain'],
    async judge(t) {
      t.spec.linux['personality'] = { domain: 'LINUX' };
      assert.equal((await t.facts())['personality'], '0');
    },
  },
  {
    title: 'a personality that does not exist, or with flags, is refused',
    covers: ['linux.personality.domain', 'linux.personality.flags'],
    async judge(t) {
      t.spec.linux['personality'] = { domain: 'LINUX', flags: ['ADDR_NO_RANDOMIZE'] };
      await t.refused(/personality|flag/i);
    },
    differs: {
      runc: newerThanReferences.runc,
      crun: differently('crun 1.8 does not look at the flags', /accepted/),
    },
  },
  {
    title: 'the memory policy is set, with its nodes',
    covers: [
      'linux.memoryPolicy',
      'linux.memoryPolicy.mode',
      'linux.memoryPolicy.nodes',
      'linux.memoryPolicy.flags',
    ],
    async judge(t) {
      t.spec.linux['memoryPolicy'] = { mode: 'MPOL_INTERLEAVE', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] };
      const facts = await t.facts();
      assert.equal(Number(facts['mempolicy']) & 0xff, 3);
      assert.equal(facts['mempolicy_nodes'], '1');
    },
    differs: newerThanReferences,
  },
  {
    title: 'a memory policy that does not exist is refused',
    covers: ['linux.memoryPolicy.mode'],
    async judge(t) {
      t.spec.linux['memoryPolicy'] = { mode: 'MPOL_OF_TOMORROW' };
      await t.refused(/MPOL_OF_TOMORROW|memory ?policy/i);
    },
    differs: newerThanReferences,
  },
  {
    title: 'a network device is moved in, renamed, with its address, and up',
    covers: ['linux.netDevices', 'linux.netDevices{}.name'],
    async judge(t) {
      const name = `gcf${process.pid % 10_000}${t.runtime.name.slice(0, 1)}`;
      assert.equal(
        spawnSync('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`]).status,
        0,
      );
      t.afterwards(() => spawnSync('ip', ['link', 'del', `${name}p`]));
      spawnSync('ip', ['addr', 'add', '198.51.100.7/24', 'dev', name]);
      t.spec.linux['netDevices'] = { [name]: { name: 'inner0' } };
      const pid = await t.live();
      const said = spawnSync('nsenter', [
        '-t',
        String(pid),
        '-n',
        'ip',
        'addr',
        'show',
        'inner0',
      ]).stdout.toString();
      assert.match(said, /inner0@?.*[<,]UP[,>]/);
      assert.match(said, /198\.51\.100\.7\/24/);
    },
    differs: newerThanReferences,
  },
  {
    title: 'a network device that does not exist is refused by name',
    covers: ['linux.netDevices'],
    async judge(t) {
      t.spec.linux['netDevices'] = { absent0: {} };
      await t.refused(/absent0/);
    },
    differs: newerThanReferences,
  },
  {
    title: 'a mount label is refused by name where the kernel has no SELinux switched on',
    covers: ['linux.mountLabel'],
    refuses: true,
    async judge(t) {
      t.spec.linux['mountLabel'] = 'system_u:object_r:container_file_t:s0';
      await t.refused(/mountLabel|selinux/i);
    },
    differs: {
      runc: differently('runc says it in other words or leaves the label out', /./),
      crun: differently('crun fails at the mount', /./),
    },
  },
  {
    title: 'Intel RDT is refused by name where there is none',
    covers: ['linux.intelRdt', 'linux.intelRdt.*'],
    refuses: true,
    async judge(t) {
      t.spec.linux['intelRdt'] = {
        closID: 'group',
        schemata: ['L3:0=f'],
        l3CacheSchema: 'L3:0=f',
        memBwSchema: 'MB:0=20',
        enableMonitoring: true,
      };
      await t.refused(/intelRdt|rdt/i);
    },
    differs: { crun: differently('crun 1.8 ignores it', /accepted|./) },
  },
];

export const seccompCases: readonly Case[] = [
  {
    title: 'SCMP_ACT_ERRNO refuses with EPERM unless told otherwise',
    covers: [
      'linux.seccomp',
      'linux.seccomp.defaultAction',
      'linux.seccomp.architectures',
      'linux.seccomp.syscalls',
      'linux.seccomp.syscalls[].names',
      'linux.seccomp.syscalls[].action',
    ],
    async judge(t) {
      t.spec.linux.seccomp = seccompFor('getpgid', 'SCMP_ACT_ERRNO');
      assert.deepEqual(await called(t, 'getpgid'), { result: '-1', errno: '1' });
    },
  },
  {
    title: 'SCMP_ACT_ERRNO refuses with the errno asked for',
    covers: ['linux.seccomp.syscalls[].errnoRet'],
    async judge(t) {
      t.spec.linux.seccomp = seccompFor('getpgid', 'SCMP_ACT_ERRNO', { errnoRet: 38 });
      assert.equal((await called(t, 'getpgid')).errno, '38');
    },
  },
  {
    title: 'a default action of SCMP_ACT_ERRNO has the errno asked for, and what is allowed works',
    covers: ['linux.seccomp.defaultAction', 'linux.seccomp.defaultErrnoRet'],
    async judge(t) {
      // Everything that the payload and a runtime's last steps need, which is found by name; getpgid is not among it.
      const names =
        'execve execveat write writev read close exit exit_group brk mmap munmap mprotect arch_prctl set_tid_address ioctl openat open fstat newfstatat rt_sigaction rt_sigprocmask rt_sigreturn futex prctl capset capget setuid setgid setgroups getpid gettid getppid sigaltstack clone fcntl fstatfs dup dup2 dup3 poll ppoll epoll_ctl epoll_pwait nanosleep sched_yield getdents64 lseek faccessat faccessat2 access chdir fchdir getcwd umask stat lstat statx readlinkat readlink madvise getrandom rseq set_robust_list prlimit64 seccomp sendmsg sendto recvmsg pipe2 close_range getuid geteuid getgid getegid tgkill kill clone3 wait4 uname sethostname setsid setresuid setresgid'.split(
          ' ',
        );
      t.spec.linux.seccomp = {
        defaultAction: 'SCMP_ACT_ERRNO',
        defaultErrnoRet: 99,
        architectures: ['SCMP_ARCH_X86_64'],
        syscalls: [{ names, action: 'SCMP_ACT_ALLOW' }],
      };
      assert.equal((await called(t, 'getpgid')).errno, '99');
    },
  },
  ...(['SCMP_ACT_KILL', 'SCMP_ACT_KILL_THREAD', 'SCMP_ACT_KILL_PROCESS', 'SCMP_ACT_TRAP'] as const).map(
    (action): Case => ({
      title: `${action} ends the process by SIGSYS`,
      covers: ['linux.seccomp.syscalls[].action', `seccomp action ${action}`],
      async judge(t) {
        t.spec.linux.seccomp = seccompFor('getpgid', action);
        assert.equal((await t.run(['payload', 'call', 'getpgid'])).code, 128 + 31);
      },
    }),
  ),
  {
    title: 'SCMP_ACT_TRACE without a tracer is ENOSYS',
    covers: ['seccomp action SCMP_ACT_TRACE'],
    async judge(t) {
      t.spec.linux.seccomp = seccompFor('getpgid', 'SCMP_ACT_TRACE');
      assert.equal((await called(t, 'getpgid')).errno, '38');
    },
  },
  {
    title: 'SCMP_ACT_LOG lets the call through',
    covers: ['seccomp action SCMP_ACT_LOG'],
    async judge(t) {
      t.spec.linux.seccomp = seccompFor('getpgid', 'SCMP_ACT_LOG');
      assert.equal((await called(t, 'getpgid')).errno, '0');
    },
  },
  {
    title: 'the first of two rules that match is not weakened by a default that allows',
    covers: ['linux.seccomp.syscalls'],
    async judge(t) {
      t.spec.linux.seccomp = seccompFor('getpgid', 'SCMP_ACT_ERRNO', { errnoRet: 5 });
      t.spec.linux.seccomp.syscalls?.push({ names: ['getpriority'], action: 'SCMP_ACT_ERRNO', errnoRet: 6 });
      assert.equal((await called(t, 'getpriority')).errno, '6');
    },
  },
  ...argumentCases,
  ...(
    ['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW', 'SECCOMP_FILTER_FLAG_TSYNC'] as const
  ).map((flag): Case => ({
    title: `the seccomp flag ${flag} is taken`,
    covers: ['linux.seccomp.flags', `seccomp flag ${flag}`],
    async judge(t) {
      t.spec.linux.seccomp = {
        ...seccompFor('getpgid', 'SCMP_ACT_ERRNO', { errnoRet: 5 }),
        defaultAction: 'SCMP_ACT_ALLOW',
        flags: [flag],
      };
      assert.equal((await called(t, 'getpgid')).errno, '5');
    },
    differs: { runc: differently('seccomp flags came with runc 1.2', /not yet supported/) },
  })),
  {
    title: 'a seccomp flag that does not exist is refused',
    covers: ['linux.seccomp.flags'],
    async judge(t) {
      t.spec.linux.seccomp = {
        defaultAction: 'SCMP_ACT_ALLOW',
        flags: ['SECCOMP_FILTER_FLAG_OF_TOMORROW'],
        syscalls: [{ names: ['getpgid'], action: 'SCMP_ACT_ERRNO' }],
      };
      await t.refused(/SECCOMP_FILTER_FLAG_OF_TOMORROW|flag/i);
    },
  },
  {
    title: 'a seccomp action that does not exist is refused',
    covers: ['linux.seccomp.syscalls[].action'],
    async judge(t) {
      t.spec.linux.seccomp = seccompFor('getpgid', 'SCMP_ACT_OF_TOMORROW');
      await t.refused(/SCMP_ACT_OF_TOMORROW|action/i);
    },
  },
  {
    title: 'an errno for an action that has none is refused',
    covers: ['linux.seccomp.syscalls[].errnoRet'],
    async judge(t) {
      t.spec.linux.seccomp = seccompFor('getpgid', 'SCMP_ACT_KILL', { errnoRet: 5 });
      await t.refused(/errno/i);
    },
    differs: { runc: differently('runc 1.1 does not look at it', /accepted/) },
  },
  {
    title: 'a system call that this architecture does not have is left out',
    covers: ['linux.seccomp.syscalls[].names'],
    async judge(t) {
      t.spec.linux.seccomp = seccompFor('no_such_system_call', 'SCMP_ACT_ERRNO');
      assert.equal(await t.inside('echo', 'ran'), 'ran\n');
    },
  },
  {
    title: 'the filter also holds for what is executed in the container later',
    covers: ['linux.seccomp'],
    async judge(t) {
      t.spec.linux.seccomp = seccompFor('getpgid', 'SCMP_ACT_ERRNO', { errnoRet: 5 });
      await t.live();
      assert.match(await t.execOutput('payload', 'call', 'getpgid'), /errno=5/);
    },
  },
  {
    title: 'SCMP_ACT_NOTIFY sends the listener and the state to the agent, who answers the call',
    covers: [
      'linux.seccomp.listenerPath',
      'linux.seccomp.listenerMetadata',
      'seccomp action SCMP_ACT_NOTIFY',
    ],
    differs: {
      crun: differently('crun 1.8 sends the state in pieces that the agent does not put together', /./),
    },
    async judge(t) {
      const socket = join(t.directory, 'agent.sock');
      const agent = spawn(join(t.rootfs, 'bin/payload'), ['seccomp-agent', socket, '4242'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let said = '';
      agent.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      t.afterwards(() => agent.kill('SIGKILL'));
      await eventually('the agent listens', () => said.includes('ready'));
      t.spec.linux.seccomp = {
        ...seccompFor('getpgid', 'SCMP_ACT_NOTIFY'),
        defaultAction: 'SCMP_ACT_ALLOW',
        listenerPath: socket,
        listenerMetadata: 'for the agent',
      };
      assert.equal((await called(t, 'getpgid')).result, '4242');
      const state = JSON.parse(/state=([^]*?\})\nasked=/.exec(said)?.[1] ?? '{}') as {
        fds?: string[];
        metadata?: string;
        pid?: number;
        state?: { id?: string; status?: string; bundle?: string };
      };
      assert.deepEqual(
        [state.fds, state.metadata, state.state?.id, state.state?.bundle],
        [['seccompFd'], 'for the agent', t.id, t.bundle],
      );
      assert.ok((state.pid ?? 0) > 1);
    },
  },
  {
    title: 'SCMP_ACT_NOTIFY with nobody at the socket is an error',
    covers: ['linux.seccomp.listenerPath'],
    async judge(t) {
      t.spec.linux.seccomp = {
        ...seccompFor('getpgid', 'SCMP_ACT_NOTIFY'),
        defaultAction: 'SCMP_ACT_ALLOW',
        listenerPath: join(t.directory, 'nobody.sock'),
      };
      await t.refused(/nobody|seccomp|listener/i);
    },
  },
  {
    title: 'listenerPath without SCMP_ACT_NOTIFY is ignored',
    covers: ['linux.seccomp.listenerPath'],
    async judge(t) {
      t.spec.linux.seccomp = {
        ...seccompFor('getpgid', 'SCMP_ACT_ERRNO', { errnoRet: 5 }),
        defaultAction: 'SCMP_ACT_ALLOW',
        listenerPath: join(t.directory, 'nobody.sock'),
      };
      assert.equal((await called(t, 'getpgid')).errno, '5');
    },
    differs: { crun: differently('crun connects all the same', /connect socket/) },
  },
];

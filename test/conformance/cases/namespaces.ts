import { spawn, spawnSync } from 'node:child_process';
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@gantry/test-harness';
import { differently, newerThanReferences, type Case } from '../case.js';
import { inUserNamespace, mapping } from '../spec.js';
import { mountsBelow, type Subject } from '../subject.js';

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
  {
    title:
      'without a mount namespace the container has its own root in the host’s, which delete takes away again',
    covers: ['linux.namespaces', 'namespace mount: absent'],
    async judge(t) {
      t.spec.linux.namespaces = t.spec.linux.namespaces.filter(({ type }) => type !== 'mount');
      t.spec.linux.maskedPaths = [];
      t.spec.linux.readonlyPaths = [];
      const own = 'readlink /proc/self/ns/mnt; cat /etc/marker; ls /data; cat /proc/1/comm';
      t.afterwards(() => {
        // Runtimes that let the mounts stay.
        for (const place of mountsBelow(t.directory)) spawnSync('umount', ['-l', place]);
      });
      const pid = await t.live('sleep', '100');
      const host = `${readlinkSync('/proc/self/ns/mnt')}\n`;
      assert.equal(`${readlinkSync(`/proc/${pid}/ns/mnt`)}\n`, host);
      assert.equal(await t.execOutput('sh', '-c', own), `${host}root of the bundle\nsleep\n`);
      await t.remove('--force');
      assert.deepEqual(mountsBelow(t.directory), []);
      assert.equal(await t.shell('cat /etc/marker; touch /data/written'), 'root of the bundle\n');
      assert.deepEqual(mountsBelow(t.directory), []);
      assert.ok(existsSync(join(t.rootfs, 'data/written')));
    },
    differs: {
      runc: differently('runc executes in the host’s root and lets the mounts stay', /./),
      crun: differently('crun lets the mounts stay', /./),
    },
  },
  {
    title: 'without a mount namespace a user namespace is refused',
    covers: ['namespace mount: absent'],
    async judge(t) {
      t.spec.linux.namespaces = t.spec.linux.namespaces.filter(({ type }) => type !== 'mount');
      inUserNamespace(t.spec);
      await t.refused(/mount|user/i);
    },
  },
];

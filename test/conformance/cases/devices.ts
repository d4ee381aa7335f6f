import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { differently, type Case } from '../case.js';
import { inUserNamespace } from '../spec.js';

export const deviceCases: readonly Case[] = [
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
    title: 'a device path may end in a slash',
    covers: ['linux.devices[].path'],
    async judge(t) {
      t.spec.linux['devices'] = [{ path: '/made/node/', type: 'c', major: 1, minor: 3 }];
      assert.equal(await t.inside('stat', '-c', '%F', '/made/node'), 'character special file\n');
    },
    differs: {
      crun: differently('crun 1.8 takes the path as it is', /mknod|No such file/),
    },
  },
  {
    title: 'a root whose /dev is a link gets no devices behind it',
    covers: ['linux.devices'],
    async judge(t) {
      rmdirSync(join(t.rootfs, 'dev'));
      mkdirSync(join(t.rootfs, 'elsewhere'));
      symlinkSync('/elsewhere', join(t.rootfs, 'dev'));
      t.spec.mounts = t.spec.mounts.filter(({ destination }) => !destination.startsWith('/dev'));
      await t.refused(/dev/);
      assert.ok(!existsSync(join(t.rootfs, 'elsewhere/ptmx')));
    },
  },
];

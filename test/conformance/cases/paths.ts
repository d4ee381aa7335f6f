import assert from 'node:assert/strict';
import { differently, type Case } from '../case.js';

/** What is shown of the root file system and of /proc, and how it is tied to the host. */
export const pathCases: readonly Case[] = [
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
      ? {
          differs: {
            runc: differently('runc 1.1 leaves the root private', /shared/),
          },
        }
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
];

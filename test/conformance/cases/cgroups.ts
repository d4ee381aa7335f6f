import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Case } from '../case.js';
import { cgroupParent, type Subject } from '../subject.js';

/** The paths of a process in every hierarchy. */
const cgroupsOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(':').slice(2).join(':'));

/** A number that Linux keeps for local use: opening what is allowed says that there is no device. */
const local = { type: 'c', major: 60, minor: 0 };
const mayOpen = /No such device/;
const mayNot = /not permitted/;

function withLocalDevices(t: Subject, rules: readonly object[]): void {
  t.spec.linux['devices'] = [
    { path: '/dev/local', ...local, fileMode: 0o666 },
    { path: '/dev/other', ...local, minor: 1, fileMode: 0o666 },
  ];
  t.spec.linux.resources = { devices: [{ allow: false, access: 'rwm' }, ...rules] };
}

async function opening(t: Subject, path: string): Promise<string> {
  return (await t.run(['sh', '-c', `: <${path}`])).stderr;
}

export const cgroupCases: readonly Case[] = [
  {
    title: 'the process is in the cgroup of cgroupsPath, which is gone with the container',
    covers: ['linux.cgroupsPath'],
    async judge(t) {
      const paths = cgroupsOf(await t.live());
      assert.ok(paths.includes(`/${cgroupParent}/${t.id}`), `in ${paths.join(' ')}`);
      await t.remove('--force');
    },
  },
  {
    title: 'without a cgroupsPath the process is in a cgroup named after the container',
    covers: ['linux.cgroupsPath'],
    async judge(t) {
      delete t.spec.linux.cgroupsPath;
      const paths = cgroupsOf(await t.live());
      assert.ok(
        paths.some((path) => path.includes(t.id)),
        `in ${paths.join(' ')}`,
      );
      await t.remove('--force');
    },
  },
  {
    title: 'a device rule without a minor number is one for all of the major number',
    covers: ['linux.resources.devices[].minor'],
    async judge(t) {
      withLocalDevices(t, [{ allow: true, type: 'c', major: local.major, access: 'rw' }]);
      assert.match(await opening(t, '/dev/local'), mayOpen);
      assert.match(await opening(t, '/dev/other'), mayOpen);
    },
  },
  {
    title: 'a device rule with a minor number is one for this device alone',
    covers: ['linux.resources.devices[].minor'],
    async judge(t) {
      withLocalDevices(t, [{ allow: true, ...local, access: 'rw' }]);
      assert.match(await opening(t, '/dev/local'), mayOpen);
      assert.match(await opening(t, '/dev/other'), mayNot);
    },
  },
];

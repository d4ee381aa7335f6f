import assert from 'node:assert/strict';
import { differently, type Case } from '../case.js';
import { bind, hostTree, look, tmpfs } from '../mounted.js';

const unknownToRunc = differently(
  'runc 1.1 hands the option to the file system, which refuses it',
  /invalid argument/,
);
const unknownToCrun = differently(
  'crun 1.8 hands the option to the file system, which refuses it',
  /Invalid argument/,
);
const keptByCrun = differently('crun 1.8 does not let a later option take back an earlier', /./);
const refusedByCrun = differently(
  'crun 1.8 asks for access times in a way that the kernel refuses',
  /mount_setattr .* Invalid argument|no relatime/,
);
const refusedByRunc = differently(
  'runc 1.1 asks for access times in a way that the kernel refuses',
  /invalid argument/,
);
const withoutSymfollow = differently('crun 1.8 does not know symfollow', /symfollow/);

interface OptionRule {
  readonly option: string;
  /** Options before it in the list, or (recursive ones) flags that the source has. */
  readonly with?: string[];
  readonly has?: string[];
  readonly hasNot?: string[];
  readonly differs?: Case['differs'];
}

/** Options of a file system of its own: what must and must not be in mountinfo. */
const optionRules: readonly OptionRule[] = [
  {
    option: 'async',
    with: ['sync'],
    hasNot: ['sync'],
    differs: { crun: keptByCrun },
  },
  {
    option: 'atime',
    with: ['noatime'],
    hasNot: ['noatime'],
    differs: { crun: keptByCrun },
  },
  {
    option: 'defaults',
    has: ['rw', 'relatime'],
    hasNot: ['nosuid', 'nodev', 'noexec'],
    differs: { runc: unknownToRunc },
  },
  { option: 'dev', with: ['nodev'], hasNot: ['nodev'], differs: { crun: keptByCrun } },
  { option: 'diratime', with: ['nodiratime'], hasNot: ['nodiratime'], differs: { crun: keptByCrun } },
  { option: 'dirsync', has: ['dirsync'] },
  { option: 'exec', with: ['noexec'], hasNot: ['noexec'], differs: { crun: keptByCrun } },
  { option: 'iversion', has: [], differs: { crun: unknownToCrun } },
  { option: 'lazytime', has: ['lazytime'] },
  { option: 'loud', with: ['silent'], has: [], differs: { crun: unknownToCrun } },
  { option: 'mand', has: [] },
  { option: 'noatime', has: ['noatime'] },
  { option: 'nodev', has: ['nodev'] },
  { option: 'nodiratime', has: ['nodiratime'] },
  { option: 'noexec', has: ['noexec'] },
  { option: 'noiversion', has: [], differs: { crun: unknownToCrun } },
  { option: 'nolazytime', with: ['lazytime'], hasNot: ['lazytime'] },
  { option: 'nomand', has: [] },
  { option: 'norelatime', has: [] },
  {
    option: 'nostrictatime',
    with: ['strictatime'],
    has: ['relatime'],
    differs: { crun: keptByCrun },
  },
  { option: 'nosuid', has: ['nosuid'] },
  { option: 'nosymfollow', has: ['nosymfollow'], differs: { crun: unknownToCrun } },
  { option: 'relatime', has: ['relatime'] },
  { option: 'ro', has: ['ro'] },
  { option: 'rw', with: ['ro'], has: ['rw'] },
  { option: 'silent', has: [], differs: { crun: unknownToCrun } },
  { option: 'strictatime', hasNot: ['relatime', 'noatime'] },
  { option: 'suid', with: ['nosuid'], hasNot: ['nosuid'], differs: { crun: keptByCrun } },
  { option: 'symfollow', with: ['nosymfollow'], hasNot: ['nosymfollow'], differs: { crun: unknownToCrun } },
  { option: 'sync', has: ['sync'] },
];

const optionCases = optionRules.map((rule): Case => ({
  title: `mount option ${rule.option}${rule.with ? ` after ${rule.with.join()}` : ''} does what mount(8) says`,
  covers: [`mount option ${rule.option}`],
  async judge(t) {
    t.spec.mounts.push(tmpfs([...(rule.with ?? []), rule.option, 'size=64k']));
    const { options, superOptions } = await look(t, '/data');
    const all = [...options, ...superOptions];
    for (const wanted of rule.has ?? [])
      assert.ok(options.includes(wanted) || superOptions.includes(wanted), `no ${wanted} in ${all.join()}`);
    for (const unwanted of rule.hasNot ?? [])
      assert.ok(!all.includes(unwanted), `${unwanted} in ${all.join()}`);
  },
  ...(rule.differs ? { differs: rule.differs } : {}),
}));

/** Recursive options: on the mount and on the one below it. */
const recursiveRules: readonly OptionRule[] = [
  { option: 'rro', has: ['ro'] },
  { option: 'rrw', with: ['ro'], has: ['rw'] },
  { option: 'rnosuid', has: ['nosuid'] },
  { option: 'rsuid', with: ['nosuid'], hasNot: ['nosuid'] },
  { option: 'rnodev', has: ['nodev'] },
  { option: 'rdev', with: ['nodev'], hasNot: ['nodev'] },
  { option: 'rnoexec', has: ['noexec'] },
  { option: 'rexec', with: ['noexec'], hasNot: ['noexec'] },
  { option: 'rnoatime', has: ['noatime'], differs: { crun: refusedByCrun } },
  {
    option: 'ratime',
    with: ['noatime'],
    hasNot: ['noatime'],
    differs: { crun: refusedByCrun, runc: refusedByRunc },
  },
  { option: 'rnodiratime', has: ['nodiratime'], differs: { crun: refusedByCrun } },
  { option: 'rdiratime', with: ['nodiratime'], hasNot: ['nodiratime'], differs: { crun: refusedByCrun } },
  { option: 'rrelatime', with: ['noatime'], has: ['relatime'], differs: { crun: refusedByCrun } },
  { option: 'rnorelatime', hasNot: ['noatime'] },
  { option: 'rstrictatime', hasNot: ['relatime', 'noatime'], differs: { crun: refusedByCrun } },
  {
    option: 'rnostrictatime',
    with: ['strictatime'],
    has: ['relatime'],
    differs: { crun: refusedByCrun, runc: refusedByRunc },
  },
  { option: 'rnosymfollow', has: ['nosymfollow'], differs: { crun: withoutSymfollow } },
  {
    option: 'rsymfollow',
    with: ['nosymfollow'],
    hasNot: ['nosymfollow'],
    differs: { crun: withoutSymfollow },
  },
];

const recursiveCases = recursiveRules.map((rule): Case => ({
  title: `mount option ${rule.option} on a source ${rule.with ? `with ${rule.with.join()} ` : ''}reaches the mounts below`,
  covers: [`mount option ${rule.option}`],
  async judge(t) {
    t.spec.mounts.push(bind(hostTree(t, 'private', rule.with), ['rbind', rule.option]));
    const table = await t.inside('cat', '/proc/self/mountinfo');
    for (const place of ['/data', '/data/inner']) {
      const options = table
        .split('\n')
        .map((line) => line.split(' '))
        .find((words) => words[4] === place)?.[5]
        ?.split(',');
      assert.ok(options !== undefined, `nothing is mounted at ${place}`);
      for (const wanted of rule.has ?? [])
        assert.ok(options.includes(wanted), `no ${wanted} at ${place}: ${options.join()}`);
      for (const unwanted of rule.hasNot ?? [])
        assert.ok(!options.includes(unwanted), `${unwanted} at ${place}: ${options.join()}`);
    }
  },
  ...(rule.differs ? { differs: rule.differs } : {}),
}));

const propagationCases = (
  [
    ['private', /^$/, false],
    ['rprivate', /^$/, true],
    ['slave', /master:/, false],
    ['rslave', /master:/, true],
    ['shared', /shared:/, false],
    ['rshared', /shared:/, true],
    ['unbindable', /unbindable/, false],
    ['runbindable', /unbindable/, true],
  ] as const
).map(([option, tag, isRecursive]): Case => ({
  title: `mount option ${option} sets the propagation${isRecursive ? ' of the mounts below too' : ''}`,
  covers: [`mount option ${option}`],
  async judge(t) {
    t.spec.linux['rootfsPropagation'] = 'slave';
    t.spec.mounts.push(bind(hostTree(t, 'shared'), ['rbind', option]));
    const table = await t.inside('cat', '/proc/self/mountinfo');
    for (const place of isRecursive ? ['/data', '/data/inner'] : ['/data']) {
      const words = table
        .split('\n')
        .map((line) => line.split(' - ')[0]?.split(' ') ?? [])
        .find((some) => some[4] === place);
      assert.match((words ?? []).slice(6).join(' '), tag, `at ${place}`);
    }
  },
}));

export const mountOptionCases: readonly Case[] = [...optionCases, ...recursiveCases, ...propagationCases];

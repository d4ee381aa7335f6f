import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { differently, type Case } from '../case.js';
import { processOf } from '../subject.js';

/** Masks of capability numbers: chown 0, kill 5, setuid 7, net_bind_service 10, sys_admin 21. */
const mask = (...numbers: number[]): string =>
  numbers
    .reduce((sum, number) => sum | (1n << BigInt(number)), 0n)
    .toString(16)
    .padStart(16, '0');

/** Raising a limit above our own takes a capability that not every machine gives us. */
function ownHardLimit(type: string): number {
  const titles: Record<string, string> = {
    NICE: 'Max nice priority',
    RTPRIO: 'Max realtime priority',
    NPROC: 'Max processes',
    NOFILE: 'Max open files',
    MEMLOCK: 'Max locked memory',
    SIGPENDING: 'Max pending signals',
    MSGQUEUE: 'Max msgqueue size',
  };
  const title = titles[type.replace('RLIMIT_', '')];
  if (title === undefined) return Infinity;
  const line =
    readFileSync('/proc/self/limits', 'utf8')
      .split('\n')
      .find((text) => text.startsWith(title)) ?? '';
  const hard = line.slice(title.length).trim().split(/\s+/)[1];
  return hard === 'unlimited' || hard === undefined ? Infinity : Number(hard);
}

const rlimitCases = (
  [
    ['RLIMIT_CPU', 3600, 7200],
    ['RLIMIT_FSIZE', 1_000_000, 2_000_000],
    ['RLIMIT_DATA', 1_000_000_000, 2_000_000_000],
    ['RLIMIT_STACK', 4_194_304, 8_388_608],
    ['RLIMIT_CORE', 0, 1_000_000],
    ['RLIMIT_RSS', 1_000_000_000, 2_000_000_000],
    ['RLIMIT_NPROC', 500, 600],
    ['RLIMIT_NOFILE', 700, 900],
    ['RLIMIT_MEMLOCK', 65_536, 131_072],
    ['RLIMIT_AS', 10_000_000_000, 20_000_000_000],
    ['RLIMIT_LOCKS', 100, 200],
    ['RLIMIT_SIGPENDING', 1000, 2000],
    ['RLIMIT_MSGQUEUE', 100_000, 200_000],
    ['RLIMIT_NICE', 10, 20],
    ['RLIMIT_RTPRIO', 0, 10],
    ['RLIMIT_RTTIME', 1_000_000, 2_000_000],
  ] as const
).map(([type, soft, hard]) => {
  const own = ownHardLimit(type);
  return { type, soft: Math.min(soft, own), hard: Math.min(hard, own) };
});

export const processCases: readonly Case[] = [
  {
    title: 'args are the argument vector, spaces and quotes and all',
    covers: ['process', 'process.args'],
    judge: async (t) =>
      assert.equal(
        await t.inside('sh', '-c', 'for a; do echo "[$a]"; done', 'zero', 'one two', '"', '', '$HOME'),
        '[one two]\n["]\n[]\n[$HOME]\n',
      ),
  },
  {
    title: 'the first argument is looked up in the PATH of the container',
    covers: ['process.args', 'process.env'],
    async judge(t) {
      t.writeInside('opt/tools/hello', '#!/bin/sh\necho found\n', 0o755);
      processOf(t).env = ['PATH=/nowhere:/opt/tools:/bin'];
      assert.equal(await t.inside('hello'), 'found\n');
    },
  },
  {
    title: 'a command that does not exist is an error and nothing is left',
    covers: ['process.args'],
    async judge(t) {
      const { code, stderr } = await t.run(['no-such-command']);
      assert.notEqual(code, 0);
      assert.match(stderr, /no-such-command/);
      assert.notEqual((await t.ask(['state', t.id])).code, 0);
    },
  },
  {
    title: 'a command that may not be executed is an error',
    covers: ['process.args'],
    async judge(t) {
      t.writeInside('bin/plain', 'text\n');
      const { code, stderr } = await t.run(['/bin/plain']);
      assert.notEqual(code, 0);
      assert.match(stderr, /plain|permission denied/i);
    },
  },
  {
    title: 'empty args are refused',
    covers: ['process.args'],
    async judge(t) {
      processOf(t).args = [];
      t.writeSpec();
      const { code, stderr } = await t.ask(['run', '--bundle', t.bundle, t.id]);
      assert.notEqual(code, 0);
      assert.match(stderr, /args/i);
    },
    differs: { crun: differently('crun says it in other words', /open executable/) },
  },
  {
    title: 'env is the whole environment',
    covers: ['process.env'],
    async judge(t) {
      processOf(t).env = ['PATH=/bin', 'A=1', 'B=two words', 'EMPTY=', 'HOME=/data'];
      const said = (await t.inside('env')).trim().split('\n').sort();
      assert.deepEqual(said, ['A=1', 'B=two words', 'EMPTY=', 'HOME=/data', 'PATH=/bin']);
    },
  },
  {
    title: 'of a variable that is given twice the last one counts, and the process has it once',
    covers: ['process.env'],
    async judge(t) {
      processOf(t).env = ['PATH=/bin', 'A=first', 'HOME=/', 'A=last'];
      const said = (await t.inside('env')).trim().split('\n').sort();
      assert.deepEqual(said, ['A=last', 'HOME=/', 'PATH=/bin']);
    },
  },
  {
    title: 'an absent or empty HOME is the one that the container has for the user',
    covers: ['process.env'],
    async judge(t) {
      t.writeInside('etc/passwd', 'root:x:0:0::/data:/bin/sh\nsome:x:7:7::/tmp:/bin/sh\n');
      for (const [uid, home] of [
        [0, '/data'],
        [7, '/tmp'],
      ] as const)
        for (const env of [[], ['HOME=']]) {
          Object.assign(processOf(t), { env: ['PATH=/bin', ...env], user: { uid, gid: uid } });
          assert.deepEqual((await t.inside('env')).trim().split('\n').sort(), [`HOME=${home}`, 'PATH=/bin']);
        }
    },
    differs: { crun: differently('crun 1.8 leaves an empty HOME empty', /HOME=/) },
  },
  {
    title: 'ids that are not given are 0',
    covers: ['process.user', 'process.user.uid', 'process.user.gid'],
    async judge(t) {
      for (const user of [undefined, {}, { uid: 5 }]) {
        Object.assign(processOf(t), { user });
        const facts = await t.inside('sh', '-c', 'id -u; id -g');
        assert.equal(facts, `${user?.uid ?? 0}\n0\n`);
      }
    },
  },
  {
    title: 'cwd is the working directory',
    covers: ['process.cwd'],
    async judge(t) {
      processOf(t).cwd = '/etc';
      assert.equal(await t.inside('pwd'), '/etc\n');
    },
  },
  {
    title: 'a cwd that does not exist is made or refused, never another directory',
    covers: ['process.cwd'],
    async judge(t) {
      processOf(t).cwd = '/not/there';
      const { code, stdout, stderr } = await t.run(['pwd']);
      if (code === 0) assert.equal(stdout, '/not/there\n');
      else assert.match(stderr, /not\/there|cwd|chdir/);
    },
  },
  {
    title: 'a relative cwd is refused',
    covers: ['process.cwd'],
    async judge(t) {
      processOf(t).cwd = 'etc';
      await t.refused(/cwd|absolute/i);
    },
    differs: { crun: differently('crun takes it relative to the root', /accepted/) },
  },
  {
    title: 'uid, gid and additional gids are those asked for',
    covers: ['process.user', 'process.user.uid', 'process.user.gid', 'process.user.additionalGids'],
    async judge(t) {
      processOf(t).user = { uid: 1000, gid: 1001, additionalGids: [5, 6] };
      const facts = await t.facts();
      assert.equal(facts['Uid'], '1000\t1000\t1000\t1000');
      assert.equal(facts['Gid'], '1001\t1001\t1001\t1001');
      assert.deepEqual(
        (facts['Groups'] ?? '').split(' ').filter((gid) => gid !== '' && gid !== '1001'),
        ['5', '6'],
      );
    },
  },
  {
    title: 'without additional gids no group of the caller is kept',
    covers: ['process.user.additionalGids'],
    async judge(t) {
      assert.deepEqual(
        ((await t.facts())['Groups'] ?? '').split(' ').filter((gid) => gid !== '' && gid !== '0'),
        [],
      );
    },
  },
  {
    title: 'the umask is the one asked for',
    covers: ['process.user.umask'],
    async judge(t) {
      processOf(t).user.umask = 0o27;
      assert.equal((await t.facts())['Umask'], '0027');
    },
  },
  {
    title: 'the five capability sets are those asked for',
    covers: ['process.capabilities', 'process.capabilities.*'],
    async judge(t) {
      processOf(t).capabilities = {
        bounding: ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID', 'CAP_NET_BIND_SERVICE'],
        permitted: ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'],
        effective: ['CAP_CHOWN', 'CAP_KILL'],
        inheritable: ['CAP_KILL', 'CAP_NET_BIND_SERVICE'],
        ambient: ['CAP_NET_BIND_SERVICE'],
      };
      processOf(t).user = { uid: 1000, gid: 1000 };
      const facts = await t.facts();
      assert.equal(facts['CapBnd'], mask(0, 5, 7, 10));
      assert.equal(facts['CapInh'], mask(5, 10));
      assert.equal(facts['CapAmb'], mask(10));
      // What execve leaves a user other than root: the ambient ones.
      assert.equal(facts['CapPrm'], mask(10));
      assert.equal(facts['CapEff'], mask(10));
    },
  },
  {
    title: 'root keeps what is bounded and nothing else',
    covers: ['process.capabilities.bounding', 'process.capabilities.effective'],
    async judge(t) {
      const some = ['CAP_CHOWN', 'CAP_KILL'];
      processOf(t).capabilities = { bounding: some, permitted: some, effective: some };
      const facts = await t.facts();
      assert.deepEqual(
        [facts['CapEff'], facts['CapPrm'], facts['CapBnd'], facts['CapInh'], facts['CapAmb']],
        [mask(0, 5), mask(0, 5), mask(0, 5), mask(), mask()],
      );
    },
  },
  {
    title: 'without capabilities there are none',
    covers: ['process.capabilities'],
    async judge(t) {
      processOf(t).capabilities = {
        bounding: [],
        permitted: [],
        effective: [],
        inheritable: [],
        ambient: [],
      };
      const facts = await t.facts();
      assert.deepEqual([facts['CapEff'], facts['CapPrm'], facts['CapBnd']], [mask(), mask(), mask()]);
    },
  },
  {
    title: 'a capability that does not exist is warned about and the container runs',
    covers: ['process.capabilities'],
    async judge(t) {
      const some = ['CAP_KILL', 'CAP_OF_TOMORROW'];
      processOf(t).capabilities = { bounding: some, permitted: some, effective: some };
      assert.equal((await t.facts())['CapEff'], mask(5));
    },
  },
  {
    title: 'noNewPrivileges is set when asked for',
    covers: ['process.noNewPrivileges'],
    judge: async (t) => assert.equal((await t.facts())['NoNewPrivs'], '1'),
  },
  {
    title: 'noNewPrivileges is not set unless asked for',
    covers: ['process.noNewPrivileges'],
    async judge(t) {
      delete processOf(t).noNewPrivileges;
      assert.equal((await t.facts())['NoNewPrivs'], '0');
    },
  },
  {
    title: 'every resource limit is set, soft and hard',
    covers: ['process.rlimits', 'process.rlimits[].*'],
    async judge(t) {
      processOf(t).rlimits = rlimitCases;
      const facts = await t.facts();
      for (const { type, soft, hard } of rlimitCases) assert.equal(facts[type], `${soft}:${hard}`, type);
    },
  },
  {
    title: 'a resource limit that does not exist is refused',
    covers: ['process.rlimits[].type'],
    async judge(t) {
      processOf(t).rlimits = [{ type: 'RLIMIT_OF_TOMORROW', soft: 1, hard: 1 }];
      await t.refused(/RLIMIT_OF_TOMORROW/i);
    },
  },
  {
    title: 'a resource limit named twice is refused',
    covers: ['process.rlimits'],
    async judge(t) {
      processOf(t).rlimits = [1, 2].map((soft) => ({ type: 'RLIMIT_CORE', soft, hard: 3 }));
      await t.refused(/RLIMIT_CORE|rlimit|duplicate/i);
    },
    differs: {
      runc: differently('runc 1.1 lets the last one win', /accepted/),
      crun: differently('crun lets the last one win', /accepted/),
    },
  },
  {
    title: 'a soft limit above the hard one is refused',
    covers: ['process.rlimits[].soft'],
    async judge(t) {
      processOf(t).rlimits = [{ type: 'RLIMIT_NOFILE', soft: 200, hard: 100 }];
      await t.refused(/rlimit|invalid argument/i);
    },
  },
  {
    title: 'oomScoreAdj is written',
    covers: ['process.oomScoreAdj'],
    async judge(t) {
      processOf(t)['oomScoreAdj'] = 321;
      assert.equal((await t.facts())['oom_score_adj'], '321');
    },
  },
  {
    title: 'oomScoreAdj is left as it is unless asked for',
    covers: ['process.oomScoreAdj'],
    judge: async (t) =>
      assert.equal(
        (await t.facts())['oom_score_adj'],
        readFileSync('/proc/self/oom_score_adj', 'utf8').trim(),
      ),
  },
  {
    title: 'only standard input, output and error are open',
    covers: ['file descriptors: only the standard ones are kept'],
    judge: async (t) => assert.equal((await t.facts())['open_files'], '0,1,2,'),
  },
  {
    title: 'the process is its own session and pid 1',
    covers: ['process'],
    async judge(t) {
      const facts = await t.facts();
      assert.deepEqual([facts['pid'], facts['session']], ['1', '1']);
    },
  },
  {
    title: 'an AppArmor profile is refused by name where the kernel has no AppArmor',
    covers: ['process.apparmorProfile'],
    refuses: true,
    async judge(t) {
      processOf(t)['apparmorProfile'] = 'some-profile';
      await t.refused(/apparmor/i);
    },
  },
  {
    title: 'an SELinux label is refused by name where the kernel has no SELinux switched on',
    covers: ['process.selinuxLabel'],
    refuses: true,
    async judge(t) {
      processOf(t)['selinuxLabel'] = 'system_u:system_r:container_t:s0';
      await t.refused(/selinux/i);
    },
    differs: { crun: differently('crun 1.8 fails without a word about SELinux', /./) },
  },
  {
    title: 'an absent process is refused when it is to be started',
    covers: ['process', 'start: an error when process is not set'],
    async judge(t) {
      delete t.spec.process;
      writeFileSync(join(t.bundle, 'config.json'), JSON.stringify(t.spec));
      const { code, stderr } = await t.ask(['run', '--bundle', t.bundle, t.id]);
      assert.notEqual(code, 0);
      assert.match(stderr, /process/i);
    },
    differs: { crun: differently('crun fails over what it finds missing first', /internal error/) },
  },
  {
    title: 'a container without a process can be created, and start is what fails',
    covers: ['process', 'create: process need not be set', 'start: an error when process is not set'],
    async judge(t) {
      delete t.spec.process;
      await t.create();
      assert.equal((await t.state()).status, 'created');
      const { code, stderr } = await t.ask(['start', t.id]);
      assert.notEqual(code, 0);
      assert.match(stderr, /process/i);
      await t.statusIs('stopped');
      await t.remove();
    },
    differs: {
      runc: differently('runc refuses to create it', /process/i),
      crun: differently('crun refuses to create it', /process|internal error/i),
    },
  },
];

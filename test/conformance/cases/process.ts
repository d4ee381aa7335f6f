import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { eventually } from '@gantry/test-harness';
import { differently, type Case } from '../case.js';
import { inUserNamespace, type ProcessSpec } from '../spec.js';
import { payloadPath, type Subject } from '../subject.js';

const processOf = (t: Subject): ProcessSpec => {
  assert.ok(t.spec.process);
  return t.spec.process;
};

/** Masks of capability numbers: chown 0, kill 5, setuid 7, net_bind_service 10, sys_admin 21. */
const mask = (...numbers: number[]): string =>
  numbers
    .reduce((sum, number) => sum | (1n << BigInt(number)), 0n)
    .toString(16)
    .padStart(16, '0');

const newerThanReferences = {
  runc: differently('came after runc 1.1', /.*/s),
  crun: differently('came after crun 1.8', /.*/s),
};

/** Somebody who takes the terminal; what it says. */
export function takeConsole(t: Subject): {
  socket: string;
  said: () => string;
  write: (text: string) => void;
} {
  const socket = join(t.directory, 'console.sock');
  const agent = spawn(payloadPath, ['console-agent', socket], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  agent.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  agent.stdin.on('error', () => undefined);
  t.afterwards(() => agent.kill('SIGKILL'));
  return { socket, said: () => text, write: (line) => agent.stdin.write(line) };
}

async function onConsole(t: Subject, ...words: string[]): Promise<string> {
  const console = takeConsole(t);
  await eventually('the agent listens', () => console.said().includes('ready'));
  await t.create(words, ['--console-socket', console.socket]);
  await t.start();
  await t.statusIs('stopped');
  await eventually('the terminal was read', () => console.said().includes('done'), 5_000);
  return console.said();
}

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
    title: 'the scheduler is SCHED_BATCH with the nice value asked for',
    covers: ['process.scheduler', 'process.scheduler.policy', 'process.scheduler.nice'],
    async judge(t) {
      processOf(t)['scheduler'] = { policy: 'SCHED_BATCH', nice: 5 };
      const facts = await t.facts();
      assert.deepEqual([facts['policy'], facts['nice']], ['3', '5']);
    },
    differs: newerThanReferences,
  },
  {
    title: 'the scheduler is SCHED_IDLE, and is not kept by children when reset on fork',
    covers: ['process.scheduler.policy', 'process.scheduler.flags'],
    async judge(t) {
      processOf(t)['scheduler'] = { policy: 'SCHED_IDLE', flags: ['SCHED_FLAG_RESET_ON_FORK'] };
      const facts = await t.facts();
      assert.deepEqual([facts['policy'], facts['sched_flags']], ['5', '1']);
    },
    differs: newerThanReferences,
  },
  ...(['SCHED_FIFO', 'SCHED_RR'] as const).map((policy, index): Case => ({
    title: `the scheduler is ${policy} with the priority asked for`,
    covers: ['process.scheduler.policy', 'process.scheduler.priority'],
    async judge(t) {
      // The real-time budget of a v1 cgroup is its own: without one there is none to take.
      processOf(t)['scheduler'] = { policy, priority: 7 };
      t.spec.linux.resources = { cpu: { realtimePeriod: 1_000_000, realtimeRuntime: 1000 } };
      const { code, stdout, stderr } = await t.run(['payload', 'inspect']);
      // A parent without a budget leaves none to give: then it must be said.
      if (code !== 0) assert.match(stderr, /cpu\.rt|sched|realtime/i);
      else assert.match(stdout, new RegExp(`policy=${index + 1}\n[^]*priority=7\n`));
    },
    differs: { crun: newerThanReferences.crun },
  })),
  {
    title: 'the scheduler is SCHED_DEADLINE with runtime, deadline and period',
    covers: ['process.scheduler.runtime', 'process.scheduler.deadline', 'process.scheduler.period'],
    async judge(t) {
      processOf(t)['scheduler'] = {
        policy: 'SCHED_DEADLINE',
        runtime: 1_000_000,
        deadline: 5_000_000,
        period: 10_000_000,
      };
      const { code, stdout, stderr } = await t.run(['payload', 'inspect']);
      if (code !== 0) assert.match(stderr, /sched/i);
      else assert.match(stdout, /policy=6\n[^]*runtime=1000000\ndeadline=5000000\nperiod=10000000\n/);
    },
    differs: newerThanReferences,
  },
  {
    title: 'a scheduling policy that does not exist is refused',
    covers: ['process.scheduler.policy'],
    async judge(t) {
      processOf(t)['scheduler'] = { policy: 'SCHED_OF_TOMORROW' };
      await t.refused(/SCHED_OF_TOMORROW|sched/i);
    },
    differs: newerThanReferences,
  },
  ...(
    [
      ['IOPRIO_CLASS_BE', 6, '2:6'],
      ['IOPRIO_CLASS_RT', 3, '1:3'],
      ['IOPRIO_CLASS_IDLE', 0, '3:0'],
    ] as const
  ).map(([name, priority, expected]): Case => ({
    title: `the I/O priority is ${name} ${priority}`,
    covers: ['process.ioPriority', 'process.ioPriority.class', 'process.ioPriority.priority'],
    async judge(t) {
      processOf(t)['ioPriority'] = { class: name, priority };
      assert.equal((await t.facts())['ioprio'], expected);
    },
    differs: newerThanReferences,
  })),
  {
    title: 'an exec runs on the CPUs of execCPUAffinity, the init does not',
    covers: ['process.execCPUAffinity', 'process.execCPUAffinity.initial', 'process.execCPUAffinity.final'],
    async judge(t) {
      processOf(t)['execCPUAffinity'] = { initial: '1', final: '0' };
      const pid = await t.live();
      const of = (text: string): string | undefined => /^Cpus_allowed_list:\s*(\S+)/m.exec(text)?.[1];
      assert.equal(of(await t.execOutput('cat', '/proc/self/status')), '0');
      assert.equal(
        of(readFileSync(`/proc/${pid}/status`, 'utf8')),
        of(readFileSync('/proc/self/status', 'utf8')),
      );
    },
    differs: newerThanReferences,
  },
  {
    title: 'the I/O priority is that of every process of the container',
    covers: ['process.ioPriority'],
    async judge(t) {
      processOf(t)['ioPriority'] = { class: 'IOPRIO_CLASS_BE', priority: 5 };
      assert.match(await t.shell('payload inspect | grep ioprio'), /ioprio=2:5/);
    },
    differs: newerThanReferences,
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
    title: 'a terminal goes to the console socket and has the size asked for',
    covers: [
      'process.terminal',
      'process.consoleSize',
      'process.consoleSize.height',
      'process.consoleSize.width',
      'create --console-socket',
    ],
    async judge(t) {
      processOf(t).terminal = true;
      processOf(t).consoleSize = { height: 33, width: 111 };
      const said = await onConsole(
        t,
        'sh',
        '-c',
        'test -t 0 && test -t 1 && test -t 2 && payload facts | grep size; echo done',
      );
      assert.match(said, /size=33x111\r?\n[^]*done/);
    },
  },
  {
    title: '/dev/console is the terminal, and it is the controlling one',
    covers: ['process.terminal', 'default device /dev/console'],
    async judge(t) {
      processOf(t).terminal = true;
      const said = await onConsole(
        t,
        'sh',
        '-c',
        'echo to-console >/dev/console; echo to-tty >/dev/tty; stat -c %F /dev/console; readlink /proc/self/fd/0; echo done',
      );
      assert.match(
        said,
        /to-console\r\n[^]*to-tty\r\n[^]*character special file\r\n[^]*(\/dev\/pts\/\d+|\/dev\/console)/,
      );
    },
  },
  {
    title: 'consoleSize without a terminal is ignored',
    covers: ['process.consoleSize'],
    async judge(t) {
      processOf(t).consoleSize = { height: 33, width: 111 };
      assert.equal(await t.inside('echo', 'ran'), 'ran\n');
    },
  },
  {
    title: 'create with a terminal and without a console socket is refused',
    covers: ['process.terminal', 'create --console-socket'],
    async judge(t) {
      processOf(t).terminal = true;
      t.writeSpec();
      const { code, stderr } = await t.ask(['create', '--bundle', t.bundle, t.id]);
      assert.notEqual(code, 0);
      assert.match(stderr, /console/i);
    },
  },
  {
    title: 'a terminal in a user namespace belongs to the user of the container',
    covers: ['process.terminal'],
    async judge(t) {
      inUserNamespace(t.spec);
      processOf(t).terminal = true;
      processOf(t).user = { uid: 1000, gid: 1000 };
      const said = await onConsole(
        t,
        'sh',
        '-c',
        'stat -L -c owner=%u /proc/self/fd/0; echo >/dev/tty && echo done',
      );
      assert.match(said, /owner=1000/);
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
];

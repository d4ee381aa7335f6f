import { spawn } from 'node:child_process';
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@gantry/test-harness';
import { differently, type Case } from '../case.js';
import type { Seccomp } from '../spec.js';
import { payloadPath, type Subject } from '../subject.js';

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

/** Somebody who answers every call with 4242. */
async function seccompAgent(t: Subject, socket: string): Promise<{ readonly said: () => string }> {
  const agent = spawn(payloadPath, ['seccomp-agent', socket, '4242'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  agent.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  t.afterwards(() => agent.kill('SIGKILL'));
  await eventually('the agent listens', () => said.includes('ready'));
  return { said: () => said };
}

interface AgentState {
  readonly fds?: string[];
  readonly metadata?: string;
  readonly pid?: number;
  readonly state?: {
    readonly id?: string;
    readonly status?: string;
    readonly bundle?: string;
    readonly pid?: number;
  };
}

const stateIn = (said: string): AgentState =>
  JSON.parse(/state=([^]*?\})\nasked=/.exec(said)?.[1] ?? '{}') as AgentState;

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
      const agent = await seccompAgent(t, socket);
      t.spec.linux.seccomp = {
        ...seccompFor('getpgid', 'SCMP_ACT_NOTIFY'),
        defaultAction: 'SCMP_ACT_ALLOW',
        listenerPath: socket,
        listenerMetadata: 'for the agent',
      };
      assert.equal((await called(t, 'getpgid')).result, '4242');
      const state = stateIn(agent.said());
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
    differs: { crun: differently('crun wants somebody to be there', /connect socket/) },
  },
  {
    title: 'an agent at listenerPath is told of the container even if no rule asks it',
    covers: ['linux.seccomp.listenerPath'],
    async judge(t) {
      const socket = join(t.directory, 'agent.sock');
      const agent = await seccompAgent(t, socket);
      t.spec.linux.seccomp = {
        ...seccompFor('getpgid', 'SCMP_ACT_ERRNO', { errnoRet: 5 }),
        defaultAction: 'SCMP_ACT_ALLOW',
        listenerPath: socket,
        listenerMetadata: 'nothing is asked',
      };
      assert.equal((await called(t, 'getpgid')).errno, '5');
      await eventually('the agent is told', () => agent.said().includes('nothing is asked'), 2_000);
      assert.match(agent.said(), /fds=1\n/);
    },
    differs: { runc: differently('runc connects only when a rule asks', /agent is told/) },
  },
  {
    title: 'exec asks the agent, too',
    covers: ['linux.seccomp.listenerPath', 'exec: the filter of the container'],
    async judge(t) {
      const socket = join(t.directory, 'agent.sock');
      const first = await seccompAgent(t, socket);
      t.spec.linux.seccomp = {
        ...seccompFor('getpgid', 'SCMP_ACT_NOTIFY'),
        defaultAction: 'SCMP_ACT_ALLOW',
        listenerPath: socket,
      };
      const pid = await t.live();
      rmSync(socket);
      const second = await seccompAgent(t, socket);
      assert.match(await t.execOutput('payload', 'call', 'getpgid'), /result=4242/);
      const state = stateIn(second.said());
      assert.deepEqual([state.state?.id, state.state?.status, state.state?.pid], [t.id, 'running', pid]);
      assert.notEqual(state.pid, pid, 'the pid is that of the process of the exec');
      assert.doesNotMatch(first.said(), /asked=/);
    },
    differs: {
      crun: differently('crun 1.8 sends the state in pieces that the agent does not put together', /./),
    },
  },
];

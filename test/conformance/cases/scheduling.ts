import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { newerThanReferences, type Case } from '../case.js';
import { processOf } from '../subject.js';

export const schedulingCases: readonly Case[] = [
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
];

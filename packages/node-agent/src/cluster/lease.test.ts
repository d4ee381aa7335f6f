import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Caller } from '../context.js';
import { Lease } from './lease.js';

test('the going down is announced when no renewal is under way, and none follows it', async () => {
  const calls: string[] = [];
  let answer: () => void = () => undefined;
  const bus = {
    call: async (_method: unknown, { maintenance }: { maintenance: boolean }) => {
      calls.push(maintenance ? 'maintenance' : 'renewal');
      if (!maintenance) await new Promise<void>((resolve) => (answer = resolve));
      calls.push('answered');
      return { term: 1, leaseMs: 3_000, leaderNodeId: 'leader', revision: 1 };
    },
  } as unknown as Caller;
  const lease = new Lease({ bus, status: () => ({}), warn: () => undefined, onBreak: () => undefined });
  const running = lease.run(new AbortController().signal);
  const announced = lease.announceMaintenance();
  await sleep(20);
  assert.deepEqual(calls, ['renewal'], 'the announcement waits');
  answer();
  await announced;
  await running;
  await sleep(1_100);
  assert.deepEqual(calls, ['renewal', 'answered', 'maintenance', 'answered']);
});

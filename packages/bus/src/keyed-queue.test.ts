import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KeyedQueue } from './keyed-queue.js';

test('work of one key runs one after another, also after a failure, those of others beside them', async () => {
  const queue = new KeyedQueue();
  const log: string[] = [];
  const task = (name: string, ms: number) => async () => {
    log.push(`+${name}`);
    await sleep(ms);
    log.push(`-${name}`);
    if (name === 'a1') throw new Error('a1');
  };
  const [first] = await Promise.allSettled([
    queue.run('a', task('a1', 20)),
    queue.run('a', task('a2', 1)),
    queue.run('b', task('b', 1)),
  ]);
  assert.equal(first.status, 'rejected');
  assert.deepEqual(log, ['+a1', '+b', '-b', '-a1', '+a2', '-a2']);
});

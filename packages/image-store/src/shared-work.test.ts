import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SharedWork, Slots } from './shared-work.js';

const never = new AbortController().signal;

test('shared work runs once, and is cancelled only when the last who wanted it has gone', async () => {
  const shared = new SharedWork<string, number>();
  let starts = 0;
  let cancelled = false;
  const start = async (signal: AbortSignal, report: (progress: number) => void): Promise<string> => {
    starts += 1;
    signal.addEventListener('abort', () => (cancelled = true));
    report(starts);
    await sleep(30, undefined, { signal });
    return 'done';
  };
  const heard: number[] = [];
  const leave = new AbortController();
  const a = shared.join('k', start, { signal: leave.signal, onProgress: () => undefined });
  const b = shared.join('k', start, { signal: never, onProgress: (progress) => heard.push(progress) });
  await sleep(5);
  leave.abort(new Error('left'));
  await assert.rejects(a, { message: 'left' });
  assert.equal(cancelled, false);
  assert.equal(await b, 'done');
  assert.deepEqual([starts, heard], [1, [1]]);
  cancelled = false;
  const only = new AbortController();
  const c = shared.join('k', start, { signal: only.signal, onProgress: () => undefined });
  await sleep(5);
  only.abort(new Error('gone'));
  await assert.rejects(c, { message: 'gone' });
  assert.equal(cancelled, true);
});

test('slots are never more than their number, and waiting for one can be given up', async () => {
  const slots = new Slots(2);
  let running = 0;
  let most = 0;
  const task = async (): Promise<void> => {
    running += 1;
    most = Math.max(most, running);
    await sleep(5);
    running -= 1;
  };
  const impatient = new AbortController();
  const tasks = Array.from({ length: 6 }, () => slots.run(never, task));
  const given = slots.run(impatient.signal, task);
  impatient.abort(new Error('no longer'));
  await assert.rejects(given, { message: 'no longer' });
  await Promise.all(tasks);
  await slots.run(never, task);
  assert.equal(most, 2);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventLog } from './events.js';

async function take(log: EventLog, since: number, count: number): Promise<string[]> {
  const over = new AbortController();
  const ids: string[] = [];
  for await (const { id } of log.watch(since, over.signal)) if (ids.push(id) === count) over.abort();
  return ids;
}

test('who begins to watch is told of kept events from the wished time on, then of those that come, none twice', async () => {
  let now = 0;
  const log = new EventLog(() => (now += 1));
  for (const id of ['a', 'b', 'c']) log.publish('task', 'running', id);
  const watching = take(log, 2, 4);
  await Promise.resolve();
  log.publish('task', 'running', 'd');
  log.publish('task', 'running', 'e');
  assert.deepEqual(await watching, ['b', 'c', 'd', 'e']);
});

test('without a wish for the past only what comes is told', async () => {
  const log = new EventLog();
  log.publish('node', 'ready', 'old');
  const watching = take(log, 0, 1);
  await Promise.resolve();
  log.publish('node', 'lost', 'new');
  assert.deepEqual(await watching, ['new']);
});

test('the last thousand events are kept', async () => {
  const log = new EventLog();
  for (let index = 0; index < 1_500; index += 1) log.publish('task', 'running', String(index));
  const [first] = await take(log, 1, 1_000);
  assert.equal(first, '500');
});

test('a watch ends with its signal while nothing happens', async () => {
  const log = new EventLog();
  const over = new AbortController();
  const watching = log.watch(0, over.signal).next();
  over.abort();
  assert.equal((await watching).done, true);
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { once } from 'node:events';
import { test } from 'node:test';
import { nativeCgroup } from './native.js';

const native = nativeCgroup();
/** The addon as somebody calls it who does not read types. */
const untyped = native as unknown as {
  OomWatch: new (
    ...values: unknown[]
  ) => Record<'add' | 'remove' | 'close', (...values: unknown[]) => unknown>;
  openProcess: (...values: unknown[]) => unknown;
  killProcess: (...values: unknown[]) => unknown;
};
const odd: readonly unknown[] = [undefined, null, 'x', {}, [], () => undefined, Symbol('s'), 10n];

test('arguments of the wrong kind are refused, whatever they are', () => {
  assert.throws(() => new untyped.OomWatch(), TypeError);
  const watch = new untyped.OomWatch(() => undefined);
  for (const value of odd) {
    if (typeof value !== 'function') assert.throws(() => new untyped.OomWatch(value), TypeError);
    assert.throws(() => untyped.openProcess(value), TypeError);
    assert.throws(() => untyped.killProcess(value), TypeError);
    assert.throws(() => watch.remove(value), TypeError);
    if (typeof value !== 'string') assert.throws(() => watch.add(value), TypeError);
  }
  watch.close();
});

test('a cgroup that is not there is an error with the path in it', () => {
  const watch = new native.OomWatch(() => undefined);
  assert.throws(() => watch.add('/nowhere'), {
    stage: 'open',
    errno: 2,
    path: '/nowhere/memory.oom_control',
  });
  assert.throws(() => watch.add('/nowhere\0/etc'), { errno: 2 });
  watch.close();
});

test('a watch can be closed twice, and takes nothing afterwards', () => {
  const watch = new native.OomWatch(() => undefined);
  for (const token of [0, -1, 7]) watch.remove(token);
  for (const token of [1e300, Number.NaN]) assert.throws(() => watch.remove(token), RangeError);
  watch.close();
  watch.close();
  watch.remove(1);
  assert.throws(() => watch.add('/'), /closed/);
});

test('a hundred watches end their threads and descriptors', () => {
  for (let round = 0; round < 100; round++) new native.OomWatch(() => undefined).close();
});

test('a process that is not there has no descriptor, and bad descriptors are errors', () => {
  for (const pid of [0, -1, 2 ** 30]) assert.equal(native.openProcess(pid), null);
  assert.throws(() => native.killProcess(-1), { stage: 'pidfd_send_signal' });
  assert.throws(() => native.killProcess(0));
});

test('a descriptor kills its process once, and tells when it had ended', async () => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const descriptor = native.openProcess(child.pid ?? 0);
  assert.ok(descriptor !== null);
  try {
    const ended = once(child, 'exit');
    assert.equal(native.killProcess(descriptor), true);
    assert.deepEqual(await ended, [null, 'SIGKILL']);
    assert.equal(native.killProcess(descriptor), false);
  } finally {
    closeSync(descriptor);
  }
});

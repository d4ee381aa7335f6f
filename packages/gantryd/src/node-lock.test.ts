import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isGantryError } from '@gantry/protocol';
import { listRunning, lockNode, pidFileName } from './node-lock.js';
import { identifyProcess, isAlive, signalProcess, waitUntilGone } from './process-identity.js';

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-gantryd-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A process that only waits, standing for another gantryd. */
function startSleeper(t: TestContext): { pid: number; startTime: string } {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  const identity = identifyProcess(child.pid ?? 0);
  assert.ok(identity);
  return identity;
}

test('the pid file names this process and its start time, and goes with the lock', (t) => {
  const directory = temporaryDirectory(t);
  const unlock = lockNode(directory, undefined);
  const [pid, startTime] = readFileSync(join(directory, 'gantryd.pid'), 'utf8').trim().split(' ');
  assert.equal(Number(pid), process.pid);
  assert.equal(startTime, identifyProcess(process.pid)?.startTime);
  unlock();
  assert.equal(existsSync(join(directory, 'gantryd.pid')), false);
});

test('a second gantryd is refused by the name of its directory and the process that has it', (t) => {
  const directory = temporaryDirectory(t);
  const rival = startSleeper(t);
  writeFileSync(join(directory, pidFileName(undefined)), `${rival.pid} ${rival.startTime}\n`);
  assert.throws(
    () => lockNode(directory, undefined),
    (error) =>
      isGantryError(error, 'already_exists') &&
      error.message.includes(directory) &&
      error.message.includes(String(rival.pid)),
  );
});

test('a whole node and a service alone exclude each other; two different services do not', (t) => {
  const directory = temporaryDirectory(t);
  const rival = startSleeper(t);
  writeFileSync(join(directory, pidFileName('spawner')), `${rival.pid} ${rival.startTime}\n`);
  assert.throws(() => lockNode(directory, undefined), /gantryd --service spawner is already running/);
  assert.throws(() => lockNode(directory, 'spawner'), /already running/);
  lockNode(directory, 'api')();
});

test('the lock of a dead gantryd is taken over, also when its number is another process now', (t) => {
  const directory = temporaryDirectory(t);
  const other = startSleeper(t);
  writeFileSync(join(directory, pidFileName(undefined)), `${other.pid} 1\n`);
  assert.deepEqual(listRunning(directory), []);
  lockNode(directory, undefined)();
});

test('a process is known by its number and start time together, and a zombie is gone', async (t) => {
  const sleeper = startSleeper(t);
  assert.equal(isAlive({ ...sleeper, startTime: '1' }), false);
  assert.equal(signalProcess({ ...sleeper, startTime: '1' }, 'SIGKILL'), false);
  assert.equal(await waitUntilGone(sleeper, 20), false);
  assert.equal(signalProcess(sleeper, 'SIGKILL'), true);
  assert.equal(await waitUntilGone(sleeper, 5_000), true);
});

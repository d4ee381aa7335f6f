import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { RuntimeHook, RuntimeState } from '@gantry/oci';
import { hookFailureText, runHooks } from './hooks.js';

const state: RuntimeState = { ociVersion: '1.3.0', id: 'one', status: 'running', pid: 7, bundle: '/b' };
let directory = '';

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-hooks-'));
});
after(() => {
  rmSync(directory, { recursive: true });
});

function shell(script: string, more: Partial<RuntimeHook> = {}): RuntimeHook {
  return { path: '/bin/sh', args: ['sh', '-c', script], ...more };
}

test('a hook reads the state of the container on its standard input', async () => {
  const file = join(directory, 'state');
  assert.deepEqual(await runHooks('poststart', [shell(`cat >${file}`)], state), []);
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), state);
});

test('a hook has the arguments and the environment that the spec gives it, and no other', async () => {
  const file = join(directory, 'words');
  const hook = { path: '/bin/sh', args: ['as-named', '-c', `echo "$0 $A" >${file}; env >>${file}`, 'zero'] };
  assert.deepEqual(await runHooks('poststop', [{ ...hook, env: ['A=b', 'A=c'] }], state), []);
  const text = readFileSync(file, 'utf8');
  assert.match(text, /^zero c\n/);
  assert.doesNotMatch(text, /^HOME=/m);
});

test('after a poststart hook has failed no further one is run', async () => {
  const file = join(directory, 'second');
  const failures = await runHooks('poststart', [shell('exit 3'), shell(`touch ${file}`)], state);
  assert.deepEqual(failures.map(hookFailureText), [
    'error running poststart hook #0: /bin/sh: exit status 3',
  ]);
  assert.ok(!existsSync(file));
});

test('all poststop hooks are run, whichever of them fails', async () => {
  const file = join(directory, 'all');
  const hooks = [shell('kill -9 $$'), { path: '/no/such/hook' }, shell(`touch ${file}`)];
  const failures = await runHooks('poststop', hooks, state);
  assert.deepEqual(
    failures.map(({ index, reason }) => [index, reason.replace(/.*ENOENT/, 'ENOENT')]),
    [
      [0, 'killed by SIGKILL'],
      [1, 'ENOENT'],
    ],
  );
  assert.ok(existsSync(file));
});

test('a hook that is not done in time is killed with what it has started', async () => {
  const file = join(directory, 'pid');
  const hook = shell(`sleep 60 & echo $! >${file}; wait`, { timeout: 1 });
  const started = performance.now();
  const [failure] = await runHooks('poststop', [hook], state);
  assert.equal(failure?.reason, 'not done after 1 s');
  assert.ok(performance.now() - started < 20_000);
  const pid = readFileSync(file, 'utf8').trim();
  for (let tries = 0; existsSync(`/proc/${pid}`) && !/^\d+ \(.*\) Z/.test(readStat(pid)); tries++) {
    assert.ok(tries < 200, 'the child of the hook lives on');
    await delay(10);
  }
});

function readStat(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return `${pid} () Z`;
  }
}

test('a hook that does not read its state holds nobody up', async () => {
  const large = { ...state, annotations: { text: 'x'.repeat(300_000) } };
  assert.deepEqual(await runHooks('poststop', [shell('exit 0', { timeout: 10 })], large), []);
});

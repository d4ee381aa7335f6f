import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spawn } from '@gantry/protocol';
import type { Caller } from './context.js';
import { patientCaller } from './patient-caller.js';
import { failure } from './testing/scripted-agent.js';

function scripted(answers: readonly (() => unknown)[]): { caller: Caller; deadlines: number[] } {
  const deadlines: number[] = [];
  const call = ((_method: unknown, _request: unknown, options: { deadlineMs: number }) => {
    deadlines.push(options.deadlineMs);
    return Promise.resolve().then(answers[deadlines.length - 1]);
  }) as Caller['call'];
  const openStream: Caller['openStream'] = () => Promise.reject(new Error('no streams'));
  return { caller: patientCaller({ call, openStream }), deadlines };
}

const late = (): never => {
  throw failure('deadline_exceeded', 'no answer');
};
const get = spawn.Spawner.methods.GetContainer;

test('a call that is not answered is asked again, each time with more patience', async () => {
  const { caller, deadlines } = scripted([late, late, () => ({ container: undefined })]);
  assert.deepEqual(await caller.call(get, {}), { container: undefined });
  assert.deepEqual(deadlines, [4000, 8000, 16000]);
});

test('an answer is final, also a refusal, and the caller’s deadline holds', async () => {
  const refused = scripted([() => Promise.reject(failure('not_found', 'none'))]);
  await assert.rejects(refused.caller.call(get, {}), /none/);
  const short = scripted([late]);
  await assert.rejects(short.caller.call(get, {}, { deadlineMs: 40 }), /no answer/);
  assert.deepEqual(short.deadlines, [40]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { control } from '@gantry/protocol';
import { failureOf, rollbackAskedFor } from './progress.js';

const withUpdate = (state: string, message: string): control.ServiceProgress => ({
  serviceId: 's',
  stack: 'shop',
  name: 'web',
  mode: 'SERVICE_MODE_REPLICATED',
  wanted: 1,
  running: 1,
  runningOld: 0,
  problems: [],
  image: '',
  ports: [],
  updateStatus: { state, message, startedUnixMs: 1, completedUnixMs: 2 },
});

test('a rollback that failing tasks caused is a failure, one that the user asked for is not', () => {
  assert.match(failureOf(withUpdate('rolled_back', 'a task failed')) ?? '', /rolled back: a task failed/);
  assert.match(failureOf(withUpdate('paused', 'a task failed')) ?? '', /paused/);
  assert.equal(failureOf(withUpdate('rolled_back', rollbackAskedFor)), undefined);
  assert.equal(failureOf(withUpdate('completed', '')), undefined);
});

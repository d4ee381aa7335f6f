import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIRST_HEALTH, nextCheckDelayMs, nextHealth, type HealthState } from './health-state.js';

const check = {
  test: ['CMD', 'x'],
  intervalMs: 30_000,
  timeoutMs: 1,
  startPeriodMs: 10_000,
  startIntervalMs: 1000,
  retries: 2,
};

function after(
  state: HealthState,
  ...results: readonly (readonly [exitCode: number, atMs: number])[]
): HealthState {
  return results.reduce(
    (reached, [exitCode, atMs]) =>
      nextHealth(reached, { startUnixMs: atMs, endUnixMs: atMs, exitCode, output: '' }, check, 0),
    state,
  );
}

test('as many failures in a row as retries make a container unhealthy, one success healthy again', () => {
  assert.equal(after(FIRST_HEALTH, [1, 20_000]).status, 'starting');
  const bad = after(FIRST_HEALTH, [1, 20_000], [1, 50_000]);
  assert.deepEqual([bad.status, bad.failingStreak], ['unhealthy', 2]);
  assert.equal(after(bad, [0, 80_000]).status, 'healthy');
});

test('failures in the start period do not count, until a first success', () => {
  assert.equal(after(FIRST_HEALTH, [1, 1000], [1, 2000], [1, 3000]).failingStreak, 0);
  assert.equal(after(FIRST_HEALTH, [0, 1000], [1, 2000]).failingStreak, 1);
});

test('five results are kept', () => {
  const results = Array.from({ length: 9 }, (_, index) => [index % 2, 20_000 + index] as const);
  assert.equal(after(FIRST_HEALTH, ...results).log.length, 5);
});

test('checks come more often in the start period', () => {
  assert.equal(nextCheckDelayMs(FIRST_HEALTH, check, 0, 500), 1000);
  assert.equal(nextCheckDelayMs(FIRST_HEALTH, check, 0, 20_000), 30_000);
});

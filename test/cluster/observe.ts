// What the tests of three hosts look at, beside what control says of itself.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { control } from '@gantry/protocol';
import { eventually, testImage, type TestCluster } from '@gantry/test-harness';

/** A figure that a reader of the test run wants to see. */
export function report(what: string, milliseconds: number): void {
  process.stderr.write(`  figure  ${what}: ${(milliseconds / 1000).toFixed(2)} s\n`);
}

/** Asserts again and again for the whole time: for what must not happen there is no event to wait for. */
export async function holds(timeMs: number, check: () => Promise<void> | void): Promise<void> {
  const until = performance.now() + timeMs;
  while (performance.now() < until) {
    await check();
    await sleep(100);
  }
}

/** Running tasks of a stack by host number: [0, 3, 3]. */
export async function spreadOf(cluster: TestCluster, stack: string, on = 0): Promise<number[]> {
  const tasks = await cluster.runningTasks(stack, on);
  return cluster.hosts.map(
    (_host, index) => tasks.filter(({ nodeId }) => nodeId === cluster.nodeId(index)).length,
  );
}

/** Until so many tasks of a stack run; resolves with them. */
export function untilRunning(
  cluster: TestCluster,
  stack: string,
  count: number,
  { on = 0, timeoutMs = 20_000 } = {},
): Promise<readonly control.Task[]> {
  return eventually(
    `${count} tasks of ${stack} run`,
    async () => {
      const tasks = await cluster.runningTasks(stack, on);
      return tasks.length === count && tasks;
    },
    timeoutMs,
  );
}

/** Process numbers of the running tasks of one host, by container: the same later means that nothing was restarted. */
export async function readPids(cluster: TestCluster, host: number): Promise<ReadonlyMap<string, number>> {
  const ids = (await cluster.listTaskContainers())
    .filter((container) => container.host === host && container.state === 'running')
    .map(({ id }) => id)
    .sort();
  if (ids.length === 0) return new Map();
  const facts = JSON.parse(await cluster.host(host).must('inspect', ...ids)) as {
    Id: string;
    State: { Pid: number };
  }[];
  return new Map(facts.map(({ Id, State }) => [Id, State.Pid]));
}

export function assertAlive(pids: ReadonlyMap<string, number>, when: string): void {
  for (const [container, pid] of pids)
    assert.ok(existsSync(`/proc/${pid}/stat`), `container ${container.slice(0, 12)} ended ${when}`);
}

/** No task has two containers, and no slot two running ones, on all hosts together. */
export async function assertNothingTwice(cluster: TestCluster, count: number): Promise<void> {
  await eventually(
    `exactly ${count} containers of tasks run on all hosts together`,
    async () => {
      const running = (await cluster.listTaskContainers()).filter(({ state }) => state === 'running');
      return running.length === count;
    },
    20_000,
  );
  const all = await cluster.listTaskContainers();
  const tasks = all.map(({ taskId }) => taskId);
  assert.equal(new Set(tasks).size, tasks.length, 'a task has two containers');
  const slots = all.filter(({ state }) => state === 'running').map(({ name }) => slotOf(name));
  assert.equal(new Set(slots).size, slots.length, `a slot runs twice: ${slots.join(', ')}`);
}

/** "web_app.3.k2..." → "web_app.3" */
const slotOf = (name: string): string => name.split('.').slice(0, 2).join('.');

/** A compose file of one service of the test image that ends when asked; more lines of the service are indented by four. */
export function sleeper(service: string, replicas: number, more: readonly string[] = []): string {
  return [
    'services:',
    `  ${service}:`,
    `    image: ${testImage}`,
    '    command: ["payload", "polite"]',
    '    stop_grace_period: 1s',
    '    deploy:',
    `      replicas: ${replicas}`,
    ...more.map((line) => `    ${line}`),
    '',
  ].join('\n');
}

/** Labels of the placement: in `deploy`, so these lines follow `sleeper`'s. */
export const onlyOn = (...constraints: readonly string[]): string[] => [
  '  placement:',
  `    constraints: [${constraints.map((constraint) => `"${constraint}"`).join(', ')}]`,
];

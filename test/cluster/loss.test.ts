import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeOnCluster, eventually, type TestCluster } from '@gantry/test-harness';
import {
  assertAlive,
  assertNothingTwice,
  holds,
  onlyOn,
  readPids,
  report,
  sleeper,
  spreadOf,
  untilRunning,
} from './observe.js';

const onWorkers = onlyOn('node.role == worker');

async function isCondition(cluster: TestCluster, host: number, condition: string): Promise<boolean> {
  const nodes = await cluster.listNodes();
  return nodes.some((node) => node.record?.nodeId === cluster.nodeId(host) && node.condition === condition);
}

const untilCondition = (cluster: TestCluster, host: number, condition: string): Promise<true> =>
  eventually(
    `host ${host} is ${condition}`,
    async () => (await isCondition(cluster, host, `NODE_CONDITION_${condition}`)) || undefined,
    20_000,
  );

describeOnCluster('what is lost and comes back', ['worker', 'worker'], (getCluster) => {
  test('a worker that dies outright has its tasks running elsewhere within 5 s, and coming back it runs none of them twice', async () => {
    const cluster = getCluster();
    await cluster.deploy('six', sleeper('app', 6, onWorkers));
    assert.deepEqual(await spreadOf(cluster, 'six'), [0, 3, 3]);
    const others = await readPids(cluster, 2);
    const began = performance.now();
    await Promise.all([
      cluster.killHost(1),
      eventually(
        'all six run on the other worker',
        async () => (await spreadOf(cluster, 'six'))[2] === 6,
        20_000,
      ),
    ]);
    const took = performance.now() - began;
    report('worker killed → its tasks run elsewhere', took);
    assert.ok(took <= 5_000, `took ${took.toFixed(0)} ms`);
    assertAlive(others, 'when another host died');
    await untilCondition(cluster, 1, 'LOST');
    await cluster.bringBack(1);
    await untilCondition(cluster, 1, 'READY');
    await assertNothingTwice(cluster, 6);
    await eventually('nothing of the old tasks is left on the host that died', async () =>
      (await cluster.listTaskContainers()).every(({ host }) => host !== 1),
    );
  });

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    test(`a worker's gantryd that ends by ${signal} moves nothing and stops no container, and goes on where it was`, async () => {
      const cluster = getCluster();
      await cluster.deploy('still', sleeper('app', 4, onWorkers));
      const tasks = (await cluster.runningTasks('still')).map(({ id }) => id).sort();
      const pids = await readPids(cluster, 1);
      assert.equal(pids.size, 2);
      await cluster.killGantryd(1, signal);
      await untilCondition(cluster, 1, 'RESTARTING');
      // Longer than a lease and all that follows a loss.
      await holds(6_000, async () => {
        const now = await cluster.runningTasks('still');
        assert.deepEqual(now.map(({ id }) => id).sort(), tasks, 'a task was moved');
        assertAlive(pids, `while gantryd was away (${signal})`);
      });
      await cluster.host(1).startAll();
      await untilCondition(cluster, 1, 'READY');
      assert.deepEqual(await readPids(cluster, 1), pids);
      await assertNothingTwice(cluster, 4);
      await cluster.must('service', 'scale', 'still_app=6');
      await untilRunning(cluster, 'still', 6);
    });
  }

  test("the control node's gantryd that is killed stops nothing anywhere, and control goes on when it is back", async () => {
    const cluster = getCluster();
    await cluster.deploy('all', sleeper('app', 6));
    const tasks = (await cluster.runningTasks('all')).map(({ id }) => id).sort();
    const pids = await Promise.all([0, 1, 2].map((host) => readPids(cluster, host)));
    await cluster.killGantryd(0);
    await holds(5_000, () => pids.forEach((one) => assertAlive(one, 'while control was away')));
    await cluster.host(0).startAll();
    await cluster.waitUntilReady([0, 1, 2]);
    assert.deepEqual((await untilRunning(cluster, 'all', 6)).map(({ id }) => id).sort(), tasks);
    assert.deepEqual(await Promise.all([0, 1, 2].map((host) => readPids(cluster, host))), pids);
    await assertNothingTwice(cluster, 6);
  });

  test('a worker that is cut off goes on running, restarting and listing, and afterwards no task runs twice', async () => {
    const cluster = getCluster();
    await cluster.deploy('cut', sleeper('app', 4, onWorkers));
    const host = cluster.host(1);
    const pids = await readPids(cluster, 1);
    assert.equal(pids.size, 2);
    await cluster.cutLink(1);
    try {
      await eventually('its tasks run elsewhere too', async () => (await spreadOf(cluster, 'cut'))[2] === 4);
      assertAlive(pids, 'when the host was cut off');
      assert.equal((await host.must('ps', '-q')).split('\n').length, 2);
      const [container, pid] = [...pids][0] ?? ['', 0];
      process.kill(pid, 'SIGKILL');
      await eventually('the node alone starts it again', async () => {
        const { State } = await host.inspect(container);
        return State.Running && State.Pid !== pid;
      });
      assert.match(await host.must('cluster', 'info'), /Connected: +no/);
    } finally {
      await cluster.restoreLink(1);
    }
    await untilCondition(cluster, 1, 'READY');
    await assertNothingTwice(cluster, 4);
  });

  test('when the hub is cut off the workers go on with what they have, and nothing runs twice afterwards', async () => {
    const cluster = getCluster();
    await cluster.deploy('hub', sleeper('app', 4, onWorkers));
    const pids = await Promise.all([1, 2].map((host) => readPids(cluster, host)));
    await cluster.cutLink(0);
    try {
      await untilCondition(cluster, 1, 'LOST');
      await holds(1_000, () => pids.forEach((one) => assertAlive(one, 'when the hub was cut off')));
      for (const host of [1, 2])
        assert.equal((await cluster.host(host).must('ps', '-q')).split('\n').length, 2);
    } finally {
      await cluster.restoreLink(0);
    }
    await cluster.waitUntilReady([0, 1, 2]);
    const tasks = await untilRunning(cluster, 'hub', 4);
    await assertNothingTwice(cluster, 4);
    // The same tasks or their successors, never one that control does not know.
    const containers = await cluster.listTaskContainers();
    assert.deepEqual(
      containers
        .filter(({ state }) => state === 'running')
        .map(({ taskId }) => taskId)
        .sort(),
      tasks.map(({ id }) => id).sort(),
    );
  });
});

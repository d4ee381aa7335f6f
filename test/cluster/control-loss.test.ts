import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeOnCluster, eventually, type TestCluster } from '@gantry/test-harness';
import {
  assertAlive,
  assertNothingTwice,
  readPids,
  report,
  sleeper,
  spreadOf,
  untilRunning,
} from './observe.js';

async function leaderOf(cluster: TestCluster, on = 0): Promise<number> {
  const { leaderNodeId } = await cluster.readCluster(on);
  return cluster.indexOf(leaderNodeId);
}

describeOnCluster('three control nodes', ['control', 'control'], (getCluster) => {
  for (const who of ['leads', 'does not lead'] as const) {
    test(`a control node that ${who} dies outright: within 15 s control answers and its tasks run elsewhere`, async () => {
      const cluster = getCluster();
      await cluster.deploy('six', sleeper('app', 6));
      assert.deepEqual(await spreadOf(cluster, 'six'), [2, 2, 2]);
      const leader = await leaderOf(cluster);
      const victim = who === 'leads' ? leader : (leader + 1) % 3;
      const witness = [0, 1, 2].find((host) => host !== victim && host !== leader) ?? 0;
      const kept = [0, 1, 2].filter((host) => host !== victim);
      const pids = await Promise.all(kept.map((host) => readPids(cluster, host)));
      const began = performance.now();
      let answered = 0;
      const killed = cluster.killHost(victim);
      await eventually(
        'all six run on the two that are left',
        async () => {
          const spread = await spreadOf(cluster, 'six', witness);
          if (answered === 0 && performance.now() - began > 200) answered = performance.now() - began;
          return spread[victim] === 0 && kept.every((host) => spread[host] === 3);
        },
        40_000,
      );
      const took = performance.now() - began;
      await killed;
      report(`control node that ${who} killed → its tasks run elsewhere`, took);
      assert.ok(took <= 15_000, `took ${took.toFixed(0)} ms`);
      pids.forEach((one) => assertAlive(one, 'when a control node died'));
      await cluster.deploy('more', sleeper('app', 1));
      await cluster.bringBack(victim);
      await cluster.waitUntilReady([0, 1, 2], 3, witness);
      await assertNothingTwice(cluster, 7);
      await cluster.waitUntilReady([0, 1, 2], 3, victim);
    });
  }

  test("the leader's gantryd that is killed hands the lead over; nothing moves and no container stops", async () => {
    const cluster = getCluster();
    await cluster.deploy('still', sleeper('app', 6));
    const tasks = (await cluster.runningTasks('still')).map(({ id }) => id).sort();
    const leader = await leaderOf(cluster);
    const witness = (leader + 1) % 3;
    const pids = await Promise.all([0, 1, 2].map((host) => readPids(cluster, host)));
    const began = performance.now();
    await cluster.killGantryd(leader);
    await eventually('another leads', async () => (await leaderOf(cluster, witness)) !== leader, 20_000);
    report('gantryd of the leader killed → another leads', performance.now() - began);
    await cluster.host(leader).startAll();
    await cluster.waitUntilReady([0, 1, 2], 3, witness);
    assert.deepEqual(await Promise.all([0, 1, 2].map((host) => readPids(cluster, host))), pids);
    assert.deepEqual((await untilRunning(cluster, 'still', 6)).map(({ id }) => id).sort(), tasks);
    await assertNothingTwice(cluster, 6);
  });

  test('a leader that is cut off stops deciding; the two others go on, and nothing runs twice when it is back', async () => {
    const cluster = getCluster();
    await cluster.deploy('split', sleeper('app', 6));
    const leader = await leaderOf(cluster);
    const witness = (leader + 1) % 3;
    const own = await readPids(cluster, leader);
    await cluster.cutLink(leader);
    // Asked at once, of one that believes to lead: nothing may come of it.
    const order = cluster.gantry(['service', 'scale', 'split_app=1'], { on: leader });
    try {
      await eventually(
        'the two others have all tasks',
        async () => {
          const spread = await spreadOf(cluster, 'split', witness);
          return spread[leader] === 0 && spread.reduce((sum, one) => sum + one, 0) === 6;
        },
        30_000,
      );
      assertAlive(own, 'on the leader that was cut off');
      const { code, stderr } = await order;
      assert.equal(code, 1, 'a leader without the others took an order');
      assert.notEqual(stderr, '');
    } finally {
      await cluster.restoreLink(leader);
    }
    await cluster.waitUntilReady([0, 1, 2], 3, witness);
    await assertNothingTwice(cluster, 6);
  });
});

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeOnCluster } from '@gantry/test-harness';
import { assertNothingTwice, readPids, sleeper, spreadOf } from './observe.js';

describeOnCluster(
  'a cluster whose nodes run a process for each service',
  ['worker'],
  (getCluster) => {
    test('stacks are spread, and no process that is killed, control among them, moves or stops anything', async () => {
      const cluster = getCluster();
      await cluster.deploy('apart', sleeper('app', 4));
      assert.deepEqual(await spreadOf(cluster, 'apart'), [2, 2]);
      const pids = await Promise.all([0, 1].map((host) => readPids(cluster, host)));
      for (const host of [0, 1]) await cluster.killGantryd(host);
      for (const host of [0, 1]) await cluster.host(host).startAll();
      await cluster.waitUntilReady([0, 1], 1);
      assert.deepEqual(await Promise.all([0, 1].map((host) => readPids(cluster, host))), pids);
      await assertNothingTwice(cluster, 4);
      assert.equal(existsSync(join(cluster.host(0).runDirectory, 'gantryd-control.json')), true);
    });
  },
  { mode: 'separate' },
);

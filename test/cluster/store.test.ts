import assert from 'node:assert/strict';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeOnCluster, eventually, type TestCluster } from '@gantry/test-harness';
import {
  assertAlive,
  assertNothingTwice,
  holds,
  onlyOn,
  readPids,
  sleeper,
  untilRunning,
} from './observe.js';

/** The directory that nats-server keeps the store in. */
function storeDirectory(cluster: TestCluster): string {
  const nats = join(cluster.host(0).stateDirectory, 'nats');
  const [name, ...more] = readdirSync(nats).filter((one) => one.startsWith('js-'));
  assert.ok(name !== undefined && more.length === 0, `one store in ${nats}`);
  return join(nats, name);
}

const untilFrozen = (cluster: TestCluster): Promise<string> =>
  eventually(
    'the cluster is frozen',
    async () => (await cluster.readCluster()).frozenReason || undefined,
    30_000,
  );

const onWorkers = onlyOn('node.role == worker');

/** What befalls the store while its machine is down. */
async function whileDown(cluster: TestCluster, act: (directory: string) => void): Promise<void> {
  const directory = storeDirectory(cluster);
  await cluster.killHost(0);
  act(directory);
  await cluster.bringBack(0);
}

describeOnCluster('a store that is lost or older', ['worker', 'worker'], (getCluster) => {
  test('an older copy freezes the cluster: containers run on, orders are refused with the reason; the newer copy ends it', async () => {
    const cluster = getCluster();
    const older = join(cluster.directory, 'older');
    const newer = join(cluster.directory, 'newer');
    await cluster.deploy('early', sleeper('app', 2, onWorkers));
    await whileDown(cluster, (directory) => cpSync(directory, older, { recursive: true }));
    await cluster.waitUntilReady([0, 1, 2]);
    await cluster.deploy('late', sleeper('app', 2, onWorkers));
    const pids = await Promise.all([1, 2].map((host) => readPids(cluster, host)));

    await whileDown(cluster, (directory) => {
      cpSync(directory, newer, { recursive: true });
      rmSync(directory, { recursive: true });
      cpSync(older, directory, { recursive: true });
    });
    const reason = await untilFrozen(cluster);
    assert.match(reason, /older|behind/);
    assert.match(await cluster.must('cluster', 'info'), /older|behind/);
    const refused = await cluster.gantry(['service', 'scale', 'early_app=3']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /older|behind/);
    // Longer than a lease: an older store knows nothing of "late", and must not end it.
    await holds(5_000, () => pids.forEach((one) => assertAlive(one, 'while the cluster was frozen')));

    await whileDown(cluster, (directory) => {
      rmSync(directory, { recursive: true });
      cpSync(newer, directory, { recursive: true });
    });
    await cluster.waitUntilReady([0, 1, 2]);
    await eventually('it is thawed', async () => (await cluster.readCluster()).frozenReason === '');
    await untilRunning(cluster, 'late', 2);
    pids.forEach((one) => assertAlive(one, 'when the newer copy was back'));
    await assertNothingTwice(cluster, 4);
  });

  test('a store that was deleted freezes the cluster until the operator accepts the empty one; then it is in order again', async () => {
    const cluster = getCluster();
    await cluster.deploy('gone', sleeper('app', 4, onWorkers));
    const pids = await Promise.all([1, 2].map((host) => readPids(cluster, host)));
    await whileDown(cluster, (directory) => rmSync(directory, { recursive: true }));
    assert.match(await untilFrozen(cluster), /empty|absent|lost|gone/);
    await holds(4_000, () => pids.forEach((one) => assertAlive(one, 'without a store')));
    const asked = await cluster.gantry(['cluster', 'accept-store']);
    assert.equal(asked.code, 1);
    assert.match(asked.stderr, /--yes/);
    await cluster.must('cluster', 'accept-store', '--yes');
    await eventually('it is thawed', async () => (await cluster.readCluster()).frozenReason === '', 30_000);
    await cluster.waitUntilReady([0, 1, 2]);
    await eventually(
      'what the store does not know is stopped',
      async () => (await cluster.listTaskContainers()).length === 0,
      30_000,
    );
    await cluster.deploy('anew', sleeper('app', 4, onWorkers));
    await assertNothingTwice(cluster, 4);
  });
});

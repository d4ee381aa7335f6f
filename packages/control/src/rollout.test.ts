import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { control } from '@gantry/protocol';
import { stateOf } from './placement.js';
import { SimulatedCluster, type Fate } from './testing/simulated-cluster.js';

type Update = Partial<control.UpdateConfig>;

const always = { image: 'x', restartPolicy: { name: 'always' } };

/** Four replicas of version 1 run on two nodes. */
function running(update: Update = {}, container: Record<string, unknown> = always): SimulatedCluster {
  const made = new SimulatedCluster();
  made.addNode('a');
  made.addNode('b');
  made.deploy('s', specOf(update, container));
  made.run(4);
  return made;
}

const specOf = (
  update: Update,
  container: Record<string, unknown> = always,
): Parameters<SimulatedCluster['deploy']>[1] => ({
  replicas: 4,
  container,
  update: { monitorMs: 1_000, parallelism: 1, ...update },
});

const update = (made: SimulatedCluster, changes: Update, container = always): control.Service =>
  made.deploy('s', specOf(changes, container), true);

/** Fate of the tasks of a version: all others are well. */
const fateOfVersion =
  (version: number, fate: Fate) =>
  (task: control.Task): Fate =>
    task.serviceVersion === version ? fate : 'well';

const stateOfUpdate = (made: SimulatedCluster): string => made.services.get('s')?.updateStatus?.state ?? '';
const runningOf = (made: SimulatedCluster, version: number): number =>
  made.live('s').filter((task) => task.serviceVersion === version && stateOf(task) === 'TASK_STATE_RUNNING')
    .length;

/** Ticks until the roll-out is over; calls back after each. */
function follow(made: SimulatedCluster, look: () => void = () => undefined): void {
  for (let ticks = 0; ticks < 200; ticks += 1) {
    made.tick();
    look();
    if (!['', 'updating', 'rolling_back'].includes(stateOfUpdate(made))) return;
  }
  throw new Error(`still ${stateOfUpdate(made)}`);
}

test('a roll-out replaces as many tasks at a time as it may, each group after the one before has proved itself', () => {
  for (const parallelism of [1, 2]) {
    const made = running();
    update(made, { parallelism });
    let fewest = 4;
    follow(made, () => (fewest = Math.min(fewest, made.containersOf('s').length)));
    assert.equal(stateOfUpdate(made), 'completed');
    assert.equal(fewest, 4 - parallelism);
    assert.equal(runningOf(made, 2), 4);
    made.run(4);
    assert.equal(made.containersOf('s').length, 4);
  }
});

test('start-first never has fewer tasks than are wanted', () => {
  const made = running();
  update(made, { order: 'start-first' });
  let fewest = 4;
  let most = 4;
  follow(made, () => {
    fewest = Math.min(fewest, runningOf(made, 1) + runningOf(made, 2));
    most = Math.max(most, made.live('s').length);
  });
  assert.equal(fewest, 4);
  assert.equal(most, 5);
  assert.equal(runningOf(made, 2), 4);
});

test('between two groups the delay passes', () => {
  const made = running();
  const lasts = (delayMs: number): number => {
    const begun = made.nowMs;
    update(made, { delayMs });
    follow(made);
    return made.nowMs - begun;
  };
  const [without, withDelay] = [lasts(0), lasts(4_000)];
  assert.ok(withDelay - without >= 3 * 4_000, `${without} ${withDelay}`);
});

test('a new task that is not healthy yet holds the roll-out up, one that becomes unhealthy fails it', () => {
  const made = running();
  update(made, {});
  made.run(4);
  const [fresh] = made.live('s').filter(({ serviceVersion }) => serviceVersion === 2);
  assert.ok(fresh !== undefined);
  made.setStatus(fresh, 'TASK_STATE_RUNNING', { health: 'unhealthy' });
  made.run(1);
  assert.equal(stateOfUpdate(made), 'paused');
  assert.equal(runningOf(made, 1), 3);
});

test('a failed task pauses the roll-out by default: the other tasks of the old version run on', () => {
  const made = running();
  made.fateOf = fateOfVersion(2, 'failed');
  update(made, {});
  follow(made);
  assert.equal(stateOfUpdate(made), 'paused');
  assert.match(made.services.get('s')?.updateStatus?.message ?? '', /1 of 4 new tasks failed: exited with 1/);
  made.run(20);
  assert.equal(runningOf(made, 1), 3);
});

test('a failed task rolls back when it may: all tasks of the old spec run again, also after failures of its own', () => {
  const made = running();
  // One task of the old version has failed once, long ago.
  const [old] = made.live('s');
  assert.ok(old !== undefined);
  made.setStatus(old, 'TASK_STATE_FAILED', { exitCode: 1 });
  made.run(10);
  made.fateOf = fateOfVersion(2, 'failed');
  update(made, { failureAction: 'rollback' }, { ...always, image: 'new' });
  follow(made);
  assert.equal(stateOfUpdate(made), 'rolled_back');
  assert.equal(made.services.get('s')?.spec?.container?.image, 'x');
  made.run(10);
  assert.equal(runningOf(made, 1), 4);
  assert.equal(made.live('s').length, 4);
});

test('a share of failures may be borne, and with continue all of them', () => {
  const made = running();
  let failures = 0;
  made.fateOf = ({ serviceVersion, slot }) =>
    serviceVersion === 2 && slot === 1 && failures++ < 1 ? 'failed' : 'well';
  update(made, { maxFailureRatio: 0.5 });
  follow(made);
  assert.equal(stateOfUpdate(made), 'completed');
  made.fateOf = ({ serviceVersion, slot, id }) =>
    serviceVersion === 3 && slot === 1 && Number(id.slice(1)) % 2 === 0 ? 'rejected' : 'well';
  update(made, { failureAction: 'continue' });
  follow(made);
  assert.equal(runningOf(made, 3), 4);
});

test('tasks that end well and are not started again count as done', () => {
  const once = { image: 'x', restartPolicy: { name: 'no' } };
  const made = running({}, once);
  made.fateOf = fateOfVersion(2, 'complete');
  update(made, {}, once);
  follow(made);
  assert.equal(stateOfUpdate(made), 'completed');
  const done = made.tasks.ofService('s').filter((task) => stateOf(task) === 'TASK_STATE_COMPLETE');
  assert.equal(done.length, 4);
});

test('a change of replicas or labels alone restarts nothing', () => {
  const made = running();
  const before = made.live('s').map(({ id }) => id);
  made.deploy('s', { ...specOf({}), replicas: 5, labels: { team: 'a' } });
  made.run(4);
  assert.deepEqual(
    made
      .live('s')
      .map(({ id }) => id)
      .slice(0, 4),
    before,
  );
  assert.equal(stateOfUpdate(made), '');
});

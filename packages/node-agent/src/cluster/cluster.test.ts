import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { membershipPaths, readMembership, readView } from '@gantry/membership';
import { failure } from '../testing/scripted-agent.js';
import { ScriptedControl, TestServer, freePort, until } from '../testing/scripted-control.js';
import { callContext, ScriptedMember, task } from '../testing/scripted-member.js';
import type { Container } from '../container.js';
import { markLeaving } from './member-files.js';

interface Scene {
  readonly server: TestServer;
  readonly control: ScriptedControl;
  readonly member: ScriptedMember;
  /** The member's agent dies and another takes its place. */
  readonly succeed: () => Promise<ScriptedMember>;
}

async function scene(t: TestContext): Promise<Scene> {
  const server = await TestServer.start();
  const control = await ScriptedControl.start(server.url);
  const member = new ScriptedMember(server.url);
  const heirs: ScriptedMember[] = [];
  t.after(async () => {
    for (const heir of heirs) await heir.cluster.stop();
    await member[Symbol.asyncDispose]();
    await control[Symbol.asyncDispose]();
    await server.stop();
  });
  member.cluster.start();
  member.enter();
  const succeed = async (): Promise<ScriptedMember> => {
    const next = await member.successor();
    heirs.push(next);
    return next;
  };
  return { server, control, member, succeed };
}

const containerOf = ({ world }: ScriptedMember, id: string): Container | undefined =>
  world.agent.registry.withKey(id);

/** The process of a task's container ends, and the spawner tells. */
function end({ world }: ScriptedMember, id: string, exitCode: number): void {
  const container = containerOf({ world } as ScriptedMember, id);
  assert.ok(container !== undefined);
  world.services.end(container.id);
  void container.exited(container.life.attempt, {
    exitCode,
    oomKilled: false,
    error: '',
    finishedUnixNanos: Date.now() * 1e6,
  });
}

test('an assigned task becomes a running container with its names and labels, and control hears each step', async (t) => {
  const { control, member } = await scene(t);
  control.order(task('t1'));
  await until(() => control.stateOf('t1') === 'TASK_STATE_RUNNING', 't1 runs');
  const container = containerOf(member, 't1');
  assert.equal(container?.record.name, 'shop_web.1.t1');
  assert.equal(container.record.spec.networkScope, 'shop');
  assert.deepEqual(container.record.spec.networkAliases, ['web']);
  assert.equal(container.record.execution.labels['gantry.service.name'], 'shop_web');
  const status = control.reports.get('t1')?.at(-1)?.status;
  assert.equal(status?.containerId, container.id);
  assert.equal(status.ipAddress, '10.0.0.2');
  assert.ok(status.pid > 0);
  assert.deepEqual(member.world.services.started.get(container.id), [1]);
});

test('tasks that want the same image at the same time share one pull', async (t) => {
  const { control, member } = await scene(t);
  const { answers, calls } = member.world.services;
  answers.PullImage = async function* () {
    await sleep(50);
    yield { image: {} };
  };
  control.order(...['a', 'b', 'c'].map((id, slot) => task(id, { slot: slot + 1 })));
  await until(() => ['a', 'b', 'c'].every((id) => control.stateOf(id) === 'TASK_STATE_RUNNING'), 'all run');
  assert.equal(calls.filter((call) => call === 'PullImage').length, 1);
});

test('what cannot be started is rejected in one sentence', async (t) => {
  const { control, member } = await scene(t);
  member.world.services.answers.AttachSandbox = () => {
    throw failure('already_exists', 'host port 80/tcp is published by container other');
  };
  control.order(task('t1'));
  await until(() => control.stateOf('t1') === 'TASK_STATE_REJECTED', 't1 is rejected');
  assert.match(control.reports.get('t1')?.at(-1)?.status?.message ?? '', /^host port 80\/tcp is published/);
  member.world.services.answers.PullImage = () => {
    throw failure('not_found', 'there is no image nowhere:1');
  };
  control.order(task('t2', { slot: 2 }));
  await until(() => control.stateOf('t2') === 'TASK_STATE_REJECTED', 't2 is rejected');
});

test('a service that is away for a moment is waited for', async (t) => {
  const { control, member } = await scene(t);
  let tries = 0;
  member.world.services.answers.PullImage = () => {
    tries += 1;
    if (tries < 3) throw failure('unavailable', 'the registry does not answer');
    return [{ image: {} }];
  };
  control.order(task('t1'));
  await until(() => control.stateOf('t1') === 'TASK_STATE_RUNNING', 't1 runs');
  assert.match(
    control.reports
      .get('t1')
      ?.map(({ status }) => status?.message)
      .join(';') ?? '',
    /will be tried again: the registry does not answer/,
  );
});

test('a task is stopped and removed as control wishes, and so is what the whole list does not name', async (t) => {
  const { control, member } = await scene(t);
  control.order(task('t1'), task('t2', { slot: 2 }), task('t3', { slot: 3 }));
  await until(
    () => ['t1', 't2', 't3'].every((id) => control.stateOf(id) === 'TASK_STATE_RUNNING'),
    'all run',
  );
  member.world.services.answers.SignalContainer = (request) => {
    const container = member.world.agent.registry.get(request.containerId as string);
    if (container !== undefined) end(member, container.record.idempotencyKey, 143);
    return {};
  };
  control.order(task('t1', { desired: 'DESIRED_STATE_SHUTDOWN' }));
  await until(() => control.stateOf('t1') === 'TASK_STATE_SHUTDOWN', 't1 is shut down');
  assert.equal(containerOf(member, 't1'), undefined);
  control.order(task('t1', { desired: 'DESIRED_STATE_REMOVED' }));
  await until(() => control.stateOf('t1') === 'removed', 't1 is removed');
  control.say({ removedTaskIds: ['t2'] });
  await until(() => control.stateOf('t2') === 'removed', 't2 is removed');
  control.tasks = [];
  member.cluster.link?.reopenWatch();
  await until(() => control.stateOf('t3') === 'removed', 't3 is removed');
  assert.equal(member.world.agent.registry.size, 0);
});

test('restarts are the container’s own business; its end, and what hands do, are told', async (t) => {
  const { control, member } = await scene(t);
  control.order(task('t1'), task('t2', { slot: 2 }), task('t3', { slot: 3 }));
  await until(
    () => ['t1', 't2', 't3'].every((id) => control.stateOf(id) === 'TASK_STATE_RUNNING'),
    'all run',
  );
  end(member, 't1', 1);
  await until(() => control.reports.get('t1')?.at(-1)?.status?.restarts === 1, 't1 was restarted');
  assert.equal(control.stateOf('t1'), 'TASK_STATE_RUNNING');
  end(member, 't1', 0);
  await until(() => control.stateOf('t1') === 'TASK_STATE_COMPLETE', 't1 is complete');
  await containerOf(member, 't2')?.remove({ force: true, volumes: false });
  await until(() => control.stateOf('t2') === 'TASK_STATE_FAILED', 't2 failed');
  assert.match(control.reports.get('t2')?.at(-1)?.status?.message ?? '', /by hand/);
  await containerOf(member, 't3')?.stop({ timeoutSeconds: 0, signal: undefined });
  await until(() => control.stateOf('t3') === 'TASK_STATE_FAILED', 't3 failed');
  assert.equal(control.reports.get('t3')?.at(-1)?.status?.message, 'its container was stopped by hand');
});

test('orders of a foreign, older or shrunken store change nothing, and are followed again once they fit', async (t) => {
  const { control, member } = await scene(t);
  control.order(task('t1'));
  await until(() => control.stateOf('t1') === 'TASK_STATE_RUNNING', 't1 runs');
  const good = control.origin;
  control.tasks = [];
  for (const [wrong, reason] of [
    [{ clusterId: 'other' }, /cluster other/],
    [{ storeGeneration: 0 }, /generation 0/],
    [{ revision: 3 }, /revision 3, this node has seen 10/],
    [{ revision: 11, term: 0 }, /term 0/],
  ] as const) {
    control.origin = { ...good, ...wrong };
    // The lease says so too: this is who leads, not one that was followed by another.
    await sleep(5);
    member.cluster.link?.reopenWatch();
    await until(() => reason.test(member.cluster.frozenReason), `it is frozen: ${String(reason)}`);
    if ('term' in wrong) continue;
  }
  await sleep(50);
  assert.equal(containerOf(member, 't1')?.running, true);
  control.tasks = [task('t1')];
  control.origin = { ...good, revision: 12 };
  await until(() => member.cluster.frozenReason === '', 'it follows orders again');
  assert.equal(containerOf(member, 't1')?.running, true);
});

test('an agent that starts while control is away goes on with its tasks, and is held to what it has seen', async (t) => {
  const { control, succeed } = await scene(t);
  control.order(task('t1'), task('t2', { slot: 2 }));
  await until(() => ['t1', 't2'].every((id) => control.stateOf(id) === 'TASK_STATE_RUNNING'), 'both run');
  control.reports.clear();
  await control.resign();
  await sleep(1_100);
  const next = await succeed();
  assert.equal(next.cluster.runner.active, 2);
  end(next, 't1', 1);
  await until(() => containerOf(next, 't1')?.life.restartCount === 1, 't1 was restarted');
  control.origin = { ...control.origin, revision: 4 };
  control.lead();
  await until(() => next.cluster.frozenReason !== '', 'it is frozen');
  control.origin = { ...control.origin, revision: 14 };
  await until(() => control.stateOf('t1') === 'TASK_STATE_RUNNING', 'it tells of t1');
  await until(() => control.stateOf('t2') === 'TASK_STATE_RUNNING', 'it tells of t2');
  assert.equal(control.watches.at(-1)?.seenRevision, 10);
  assert.deepEqual(
    [...next.world.services.started.values()].map((attempts) => attempts.length).sort(),
    [1, 2],
  );
});

test('what the node’s going down stopped is started again, also without a policy', async (t) => {
  const { control, member, succeed } = await scene(t);
  const spec = { name: 'web', container: { image: 'box' } };
  control.order(task('t1', { spec }));
  await until(() => control.stateOf('t1') === 'TASK_STATE_RUNNING', 't1 runs');
  member.world.services.answers.SignalContainer = () => {
    end(member, 't1', 143);
    return {};
  };
  await member.world.agent.stopAll(0);
  await sleep(50);
  assert.equal(containerOf(member, 't1')?.life.state, 'exited');
  assert.equal(control.stateOf('t1'), 'TASK_STATE_RUNNING');
  const next = await succeed();
  await until(() => containerOf(next, 't1')?.running === true, 't1 runs again');
});

test('a new view is on disk, and a node that was promoted is a control node', async (t) => {
  const { control, member } = await scene(t);
  const { state_dir } = member.world.agent.context.config;
  const own = { nodeId: 'node', role: 'NODE_ROLE_CONTROL', address: '192.0.2.1' } as const;
  control.say({ view: { clusterId: 'c1', storeGeneration: 2, revision: 11, members: [own] } });
  await until(() => control.watches.length > 0, 'it watches');
  await sleep(20);
  control.say({ view: { clusterId: 'c1', storeGeneration: 2, revision: 11, members: [own] } });
  await until(() => readView(state_dir)?.storeGeneration === 2, 'the view is written');
  assert.equal(readMembership(state_dir)?.role, 'control');
});

test('the lease is renewed with what the node has, and its going down is announced', async (t) => {
  const { control, member } = await scene(t);
  await until(() => member.cluster.connected, 'it is connected');
  const described = await member.membership.GetMembership({}, callContext());
  assert.equal(described.connected, true);
  assert.equal(described.leaderNodeId, 'leader');
  const [first] = control.renewals;
  assert.ok((first?.status?.memoryBytes ?? 0) > 0);
  assert.equal(first?.status?.operatingSystem, 'linux');
  await member.cluster.stop();
  const told = control.renewals.length;
  assert.equal(control.renewals.at(-1)?.maintenance, true);
  await sleep(1_200);
  assert.equal(control.renewals.length, told, 'nothing takes it back');
});

test('a bus server that is killed and comes back is only a pause', async (t) => {
  const { control, server } = await scene(t);
  control.order(task('t1'));
  await until(() => control.stateOf('t1') === 'TASK_STATE_RUNNING', 't1 runs');
  await server.stop();
  await sleep(100);
  server.resume();
  control.tasks = [...control.tasks, task('t2', { slot: 2 })];
  await until(() => control.stateOf('t2') === 'TASK_STATE_RUNNING', 't2 runs');
});

test('leaving ends the tasks, tells control and forgets the cluster', async (t) => {
  const { control, member } = await scene(t);
  control.order(task('t1'));
  await until(() => control.stateOf('t1') === 'TASK_STATE_RUNNING', 't1 runs');
  member.world.services.answers.SignalContainer = () => {
    end(member, 't1', 143);
    return {};
  };
  await member.membership.LeaveCluster({ force: false }, callContext());
  assert.equal(control.stateOf('t1'), 'removed');
  assert.equal(control.left, 1);
  assert.equal(member.world.agent.registry.size, 0);
  assert.equal(readMembership(member.world.agent.context.config.state_dir), undefined);
  await assert.rejects(member.membership.LeaveCluster({ force: true }, callContext()), /is in no cluster/);
});

test('an agent killed while it leaves is followed by one that finishes the leave', async (t) => {
  const { control, member, succeed } = await scene(t);
  control.order(task('t1'));
  await until(() => control.stateOf('t1') === 'TASK_STATE_RUNNING', 't1 runs');
  const { state_dir } = member.world.agent.context.config;
  markLeaving(state_dir);
  member.world.services.answers.SignalContainer = () => {
    end(member, 't1', 143);
    return {};
  };
  const next = await succeed();
  next.world.services.answers.SignalContainer = () => {
    end(next, 't1', 143);
    return {};
  };
  await next.cluster.leaveFinished;
  assert.equal(control.left, 1);
  assert.equal(next.cluster.membership, undefined);
  assert.ok(!existsSync(membershipPaths(state_dir).directory));
  assert.equal(next.world.agent.registry.size, 0);
});

test('what is left over of tasks writes nothing once the cluster is forgotten', async (t) => {
  const { control, member } = await scene(t);
  control.order(task('t1'));
  await until(() => control.stateOf('t1') === 'TASK_STATE_RUNNING', 't1 runs');
  await member.cluster.exit();
  const { directory } = membershipPaths(member.world.agent.context.config.state_dir);
  end(member, 't1', 0);
  await until(() => member.cluster.runner.countStates().get('complete') === 1, 't1 is complete');
  assert.ok(!existsSync(directory));
});

test('a connection that never stands ends with the leaving', async (t) => {
  const member = new ScriptedMember(`nats://127.0.0.1:${await freePort()}`);
  t.after(() => member[Symbol.asyncDispose]());
  member.enter();
  await sleep(100);
  const begun = performance.now();
  await member.cluster.exit();
  assert.ok(performance.now() - begun < 3_000);
});

test('a node that cannot tell control leaves by force only', async (t) => {
  const { control, member } = await scene(t);
  await until(() => member.cluster.connected, 'it is connected');
  await control.resign();
  await until(() => !member.cluster.connected, 'its lease ends');
  await assert.rejects(member.membership.LeaveCluster({ force: false }, callContext()), {
    code: 'failed_precondition',
    message: /control cannot be told of the leaving/,
  });
  await member.membership.LeaveCluster({ force: true }, callContext());
  assert.equal(member.cluster.membership, undefined);
});

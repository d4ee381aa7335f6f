import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isGantryError } from '@gantry/protocol';
import { failure, ScriptedAgent } from './testing/scripted-agent.js';

function nothingHeld({ services }: ScriptedAgent): void {
  assert.deepEqual([...services.processes.keys(), ...services.sandboxes, ...services.cgroups], []);
}

const until = async (holds: () => boolean): Promise<void> => {
  for (let look = 0; look < 500 && !holds(); look += 1)
    await new Promise((resolve) => setTimeout(resolve, 2));
  assert.ok(holds());
};

test('a start asks for sandbox and cgroup at once and starts the process last', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create();
  world.services.calls.length = 0;
  await container.start();
  const { calls } = world.services;
  assert.deepEqual([...calls].sort(), ['AttachSandbox', 'CreateCgroup', 'GetCgroupInfo', 'StartContainer']);
  assert.equal(calls.at(-1), 'StartContainer');
  assert.equal(container.life.state, 'running');
});

test('starting what runs is no error and starts nothing', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create();
  await Promise.all([container.start(), container.start(), container.start()]);
  assert.deepEqual(world.services.started.get(container.id), [1]);
});

test('when one preparation fails, what the others gave is given back and every reason is told', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create();
  world.services.answers.CreateCgroup = () => {
    throw failure('resource_exhausted', 'no room for a cgroup');
  };
  world.services.answers.DestroyCgroup = () => {
    throw failure('unavailable', 'the supervisor is away');
  };
  await assert.rejects(container.start(), (error) => {
    assert.ok(isGantryError(error, 'resource_exhausted'));
    assert.match(error.message, /no room for a cgroup; the supervisor is away/);
    return true;
  });
  nothingHeld(world);
  assert.equal(container.life.state, 'created');
});

test('a start whose answer was lost is found running and not started again', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create();
  const { StartContainer: start } = world.services.answers;
  world.services.answers.StartContainer = (request) => {
    start?.(request);
    throw failure('deadline_exceeded', 'no answer');
  };
  await container.start();
  assert.equal(container.life.state, 'running');
  assert.deepEqual(world.services.started.get(container.id), [1]);
});

test('an exit is recorded, then everything is given back, then those who wait are told', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create();
  await container.start();
  const told = container.wait('not-running', new AbortController().signal);
  world.services.end(container.id);
  await container.askProcess();
  assert.deepEqual(await told, { exitCode: 7, error: '' });
  nothingHeld(world);
  assert.deepEqual(world.actions, ['create', 'start', 'die']);
});

test('a container made with --rm is gone after its exit, its anonymous volumes too', async () => {
  await using world = new ScriptedAgent();
  const mounts = [
    { type: 'volume', target: '/data' },
    { type: 'volume', source: 'kept', target: '/kept' },
  ];
  const container = await world.create({ autoRemove: true, mounts });
  await container.start();
  const removed = container.wait('removed', new AbortController().signal);
  world.services.end(container.id);
  await container.askProcess();
  await removed;
  assert.equal(world.agent.registry.size, 0);
  assert.deepEqual(
    world.agent.context.volumes.all().map(({ name }) => name),
    ['kept'],
  );
  assert.deepEqual([...world.services.rootfs], []);
  assert.ok(!existsSync(join(world.directory, 'containers', container.id)));
});

test('a stop without an answer to its signal kills, and the policy does not start it again', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create({ restartPolicy: { name: 'always' } });
  await container.start();
  await container.stop({ timeoutSeconds: 0, signal: undefined });
  assert.equal(container.life.state, 'exited');
  nothingHeld(world);
});

test('a restart policy starts it again under the next attempt', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create({ restartPolicy: { name: 'always' } });
  await container.start();
  world.services.end(container.id);
  await container.askProcess();
  assert.equal(container.life.state, 'restarting');
  await until(() => container.life.state === 'running');
  assert.deepEqual(world.services.started.get(container.id), [1, 2]);
});

test('an agent that died between record and process finishes the start with the same attempt', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create();
  world.services.answers.AttachSandbox = () => new Promise(() => undefined);
  void container.start().catch(() => undefined);
  await until(() => world.services.cgroups.size === 1);
  world.services.answers.AttachSandbox = () => ({ sandbox: { ports: [], dnsServers: [] } });
  const next = await world.successor();
  await next.agent.reconciler.run();
  const adopted = next.agent.registry.get(container.id);
  assert.equal(adopted?.life.state, 'running');
  assert.deepEqual(world.services.started.get(container.id), [1]);
  next.agent.dispose();
});

test('a new agent adopts what runs, records exits that nobody told it of, and finishes removals', async () => {
  await using world = new ScriptedAgent();
  const runs = await world.create({}, 'runs');
  const ended = await world.create({}, 'ended');
  const going = await world.create({}, 'going');
  for (const container of [runs, ended]) await container.start();
  world.services.end(ended.id);
  going.apply({ type: 'remove', volumes: false });
  await new Promise((resolve) => setImmediate(resolve));
  const next = await world.successor();
  await next.agent.reconciler.run();
  const { registry } = next.agent;
  assert.equal(registry.get(runs.id)?.life.pid, 1001);
  assert.deepEqual(
    [registry.get(ended.id)?.life.state, registry.get(ended.id)?.life.exitCode],
    ['exited', 7],
  );
  assert.equal(registry.get(going.id), undefined);
  assert.deepEqual(world.services.started.get(runs.id), [1]);
  next.agent.dispose();
});

test('what no record claims is swept, but a process is never killed for want of a record', async () => {
  await using world = new ScriptedAgent();
  const stray = 'a'.repeat(64);
  const lost = 'b'.repeat(64);
  for (const id of [stray, lost]) world.services.sandboxes.add(id).add(id);
  world.services.rootfs.add(stray);
  world.services.processes.set(lost, { attempt: 1, status: 'running', pid: 5 });
  await world.agent.reconciler.run();
  assert.deepEqual([...world.services.sandboxes], [lost]);
  assert.deepEqual([...world.services.rootfs], []);
  assert.equal(world.services.processes.get(lost)?.status, 'running');
});

test('a comparison never judges a container that changes while the truth is listed', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create();
  const { ListContainers: list } = world.services.answers;
  world.services.answers.ListContainers = async (request) => {
    const before = list?.(request);
    await container.start();
    return before;
  };
  await world.agent.reconciler.run();
  assert.equal(container.life.state, 'running');
});

test('a name is taken once, and a second creation with the same key is the first one', async () => {
  await using world = new ScriptedAgent();
  const first = await world.create({}, 'web');
  await assert.rejects(world.create({}, 'web'), (error) => {
    assert.ok(isGantryError(error, 'already_exists'));
    return error.message.includes(first.id);
  });
  const { spec } = first.record;
  const make = () => world.agent.create({ name: '', spec, idempotencyKey: 'k' });
  const [one, two] = await Promise.all([make(), make()]);
  assert.equal(one.container, two.container);
});

test('a creation that fails leaves nothing: no name, no record, no hold on the image', async () => {
  await using world = new ScriptedAgent();
  world.services.answers.PrepareRootfs = (request) => {
    world.services.rootfs.add(request.containerId as string);
    return { imageId: 'x', lowerdirs: [], configJson: Buffer.from('{}'), reference: 'empty' };
  };
  await assert.rejects(world.create({}, 'web'), /no command was given/);
  assert.deepEqual([...world.services.rootfs], []);
  assert.ok(!world.agent.registry.isTaken('web'));
});

test('taking the node down and up brings back what the policy keeps', async () => {
  await using world = new ScriptedAgent();
  const kept = await world.create({ restartPolicy: { name: 'unless-stopped' } });
  const plain = await world.create();
  await Promise.all([kept.start(), plain.start()]);
  assert.equal(await world.agent.stopAll(0), 2);
  nothingHeld(world);
  const next = await world.successor();
  await next.agent.reconciler.run();
  assert.equal(next.agent.registry.get(kept.id)?.life.state, 'running');
  assert.equal(next.agent.registry.get(plain.id)?.life.state, 'exited');
  next.agent.dispose();
});

test('volumes in use are not removed, and the refusal names the container', async () => {
  await using world = new ScriptedAgent();
  await world.create({ mounts: [{ type: 'volume', source: 'data', target: '/d' }] }, 'db');
  await assert.rejects(world.agent.volumes.remove('data', false), /container db/);
});

test('an anonymous volume that another container has taken over outlives its first owner', async () => {
  await using world = new ScriptedAgent();
  const first = await world.create({ mounts: [{ type: 'volume', target: '/d' }] }, 'first');
  await world.create({ volumesFrom: ['first:ro'] }, 'second');
  await first.remove({ force: false, volumes: true });
  assert.equal(world.agent.context.volumes.all().length, 1);
});

test('the record on disk is the container', async () => {
  await using world = new ScriptedAgent();
  const container = await world.create({}, 'web');
  const file = join(world.directory, 'containers', container.id, 'container.json');
  assert.equal((JSON.parse(readFileSync(file, 'utf8')) as { name: string }).name, 'web');
});

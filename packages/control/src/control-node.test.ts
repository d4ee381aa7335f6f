import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectCluster, createBusMetrics, type Bus } from '@gantry/bus';
import { membershipPaths, readView, writeMembership, writeView } from '@gantry/membership';
import { control, type Method } from '@gantry/protocol';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { ControlNode } from './control-node.js';
import { noFigures } from './figures.js';
import { createControlMetrics } from './metrics.js';
import { Store, encodeJson } from './store.js';
import { fillStore, writeSeed } from './store-seed.js';
import { makeNode } from './testing/models.js';
import { startNatsForTest } from './testing/nats-for-test.js';

const busMetrics = createBusMetrics(new Registry());
const { writeSeconds } = createControlMetrics(new Registry(), () => noFigures);
const { methods } = control.Control;
const clusterId = 'c0ffee';
const patient = { timeout: 60_000 };

interface Machine {
  readonly nodeId: string;
  readonly stateDirectory: string;
  readonly agent: Bus;
  /** Control's own connection, for looking at the store behind its back. */
  readonly bus: Bus;
  node: ControlNode;
  start(): void;
  stop(): Promise<void>;
}

async function makeMachine(
  t: TestContext,
  url: string,
  nodeId: string,
  members: readonly string[],
): Promise<Machine> {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'gantry-test-control-node-'));
  const place = { address: '127.0.0.1', leafPort: 1, routePort: 2, apiPort: 3 };
  writeView(stateDirectory, {
    clusterId,
    storeGeneration: 1,
    revision: 0,
    seedingNodeId: members[0] ?? '',
    apiTokens: [],
    members: members.map((id) => ({ ...place, nodeId: id, role: 'NODE_ROLE_CONTROL', busKey: '' })),
  });
  writeMembership(stateDirectory, {
    ...place,
    version: 1,
    clusterId,
    nodeId,
    role: 'control',
    controlPending: false,
  });
  const options = { nodeId, natsUrl: url, nkeySeed: '', metrics: busMetrics };
  const agent = await connectCluster('agent', options);
  const bus = await connectCluster('control', options);
  let stopping = new AbortController();
  let running: Promise<void> | undefined;
  const make = (): ControlNode =>
    new ControlNode({
      nodeId,
      version: '0.3.0',
      hostname: nodeId,
      config: {
        state_dir: stateDirectory,
        run_dir: '',
        lease_ms: 3_000,
        leader_lease_ms: 4_000,
        restart_lease_ms: 60_000,
        kept_tasks: 5,
      },
      bus,
      busMetrics,
      metrics: createControlMetrics(new Registry(), () => noFigures),
      connectedNodes: () => Promise.resolve(new Set(members)),
      logger: pino({ level: 'silent' }),
      signal: stopping.signal,
    });
  const machine: Machine = {
    nodeId,
    stateDirectory,
    agent,
    bus,
    node: make(),
    start() {
      stopping = new AbortController();
      machine.node = make();
      running = machine.node.run();
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
  t.after(async () => {
    await machine.stop();
    await Promise.all([agent.close(), bus.close()]);
    rmSync(stateDirectory, { recursive: true, force: true });
  });
  return machine;
}

async function lone(t: TestContext): Promise<Machine> {
  const { url } = await startNatsForTest(t, { jetstream: true });
  return makeMachine(t, url, 'hub', ['hub']);
}

async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined>,
  withinMs = 15_000,
): Promise<T> {
  for (const deadline = performance.now() + withinMs; performance.now() < deadline; await sleep(50)) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
  }
  throw new Error(`not within ${withinMs} ms: ${what}`);
}

const ask = <Q, A>({ agent }: Machine, method: Method<Q, A, 'unary'>, request: Q): Promise<A> =>
  agent.call(method, request as never, { deadlineMs: 2_000 });

/** Answered by a leader whose store is well. */
const clusterOf = (machine: Machine): Promise<control.GetClusterResponse> =>
  eventually('a leader answers', async () => {
    const answer = await ask(machine, methods.GetCluster, {});
    return answer.frozenReason === '' ? answer : undefined;
  });

const frozenReasonOf = (machine: Machine): Promise<string> =>
  eventually('it is frozen', async () => {
    const { frozenReason } = await ask(machine, methods.GetCluster, {});
    return frozenReason === '' ? undefined : frozenReason;
  });

const label = (machine: Machine, key: string): Promise<control.UpdateNodeResponse> =>
  ask(machine, methods.UpdateNode, {
    node: 'hub',
    labelsAdd: { [key]: 'yes' },
    labelsRemove: [],
    availability: 'AVAILABILITY_UNSPECIFIED',
  });

async function labelsOf(machine: Machine): Promise<string[]> {
  const { nodes } = await ask(machine, methods.ListNodes, { node: 'hub', pageSize: 0, pageToken: '' });
  return Object.keys(nodes[0]?.record?.labels ?? {}).sort();
}

async function deleteStore({ bus }: Machine): Promise<void> {
  const manager = await bus.connection.jetstreamManager();
  await manager.streams.delete('KV_gantry-1');
}

/** What node-agent does with the views that it is sent. */
async function followViews({ agent, stateDirectory }: Machine, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const stream = await agent.openStream(
        control.Dispatcher.methods.WatchTasks,
        { version: '0.3.0', clusterId },
        { signal },
      );
      for await (const { view } of stream) if (view !== undefined) writeView(stateDirectory, view);
    } catch {
      // The speaker has gone: the next one is asked.
    }
    await sleep(50);
  }
}

test(
  'a cluster that begins fills its store once, and a restarted leader goes on with a higher term',
  patient,
  async (t) => {
    const machine = await lone(t);
    machine.start();
    const first = await clusterOf(machine);
    assert.equal(first.term, 1);
    assert.equal(first.leaderNodeId, 'hub');
    assert.equal(first.controlNodes, 1);
    await label(machine, 'kept');
    await machine.stop();
    machine.start();
    assert.equal((await clusterOf(machine)).term, 2);
    assert.deepEqual(await labelsOf(machine), ['kept']);
  },
);

test(
  'a leader whose place somebody else has taken stops, whatever it was about to write',
  patient,
  async (t) => {
    const machine = await lone(t);
    machine.start();
    const { term } = await clusterOf(machine);
    const kv = await machine.bus.connection.jetstream().views.kv('gantry-1', { bindOnly: true });
    await kv.put('leader', encodeJson({ nodeId: 'other', term: term + 1, beat: 0 }));
    await eventually(
      'it does not lead',
      () => Promise.resolve(machine.node.figures().leader ? undefined : true),
      3_000,
    );
    // The other gives no sign again: after the lease this node takes its place, in a term above both.
    assert.equal((await clusterOf(machine)).term, term + 2);
  },
);

test('of two control nodes one leads, and the other takes over when it is gone', patient, async (t) => {
  const { url } = await startNatsForTest(t, { jetstream: true });
  const one = await makeMachine(t, url, 'hub', ['hub', 'second']);
  const two = await makeMachine(t, url, 'second', ['hub', 'second']);
  // A bucket with one copy is enough here: there is one server.
  const store = await Store.create(one.bus.connection, 1, 1, writeSeconds);
  const view = readView(one.stateDirectory);
  assert.ok(view !== undefined);
  const membership = {
    version: 1,
    clusterId,
    nodeId: 'hub',
    role: 'control',
    controlPending: false,
    address: '127.0.0.1',
    leafPort: 1,
    routePort: 2,
    apiPort: 3,
  } as const;
  await fillStore(store, one.stateDirectory, membership, view, 'hub', new AbortController().signal);
  one.start();
  assert.equal((await clusterOf(one)).leaderNodeId, 'hub');
  two.start();
  await sleep(1_000);
  assert.equal(two.node.figures().leader, false);
  await label(two, 'before');
  await one.stop();
  const after = await eventually('the second leads', async () => {
    const answer = await ask(two, methods.GetCluster, {});
    return answer.leaderNodeId === 'second' ? answer : undefined;
  });
  assert.equal(after.term, 2);
  assert.deepEqual(await labelsOf(two), ['before']);
});

test(
  'a lost store freezes the cluster: nothing is filled anew or decided until it is accepted',
  patient,
  async (t) => {
    const machine = await lone(t);
    machine.start();
    await clusterOf(machine);
    await machine.stop();
    await deleteStore(machine);
    machine.start();
    assert.match(
      await frozenReasonOf(machine),
      /the store is lost: this node has seen it up to revision \d+/,
    );
    await assert.rejects(label(machine, 'x'), (error: { code: string; message: string }) => {
      assert.equal(error.code, 'failed_precondition');
      assert.match(error.message, /the cluster is frozen: the store is lost/);
      return true;
    });
    assert.equal(machine.node.figures().frozen, true);
    assert.equal(await Store.open(machine.bus.connection, 1, writeSeconds), undefined);

    const over = new AbortController();
    const following = followViews(machine, over.signal);
    assert.equal((await ask(machine, methods.AcceptStore, {})).storeGeneration, 2);
    const after = await clusterOf(machine);
    assert.equal(after.storeGeneration, 2);
    assert.equal(after.controlNodes, 1);
    await label(machine, 'again');
    over.abort();
    await following;
  },
);

test(
  'a store that is older than what was seen, or of another cluster, freezes too, and one that is back ends it',
  patient,
  async (t) => {
    const machine = await lone(t);
    machine.start();
    await clusterOf(machine);
    await label(machine, 'kept');
    await machine.stop();
    const whole = await Store.open(machine.bus.connection, 1, writeSeconds);
    const contents = await whole?.load(0, new AbortController().signal);
    assert.ok(contents !== undefined);
    await deleteStore(machine);

    const kv = await machine.bus.connection.jetstream().views.kv('gantry-1');
    await kv.put('meta', encodeJson({ clusterId, generation: 1, controls: 1 }));
    machine.start();
    assert.match(
      await frozenReasonOf(machine),
      /the store is older than what this node has seen: it is at revision 1/,
    );
    await machine.stop();
    await kv.put('meta', encodeJson({ clusterId: 'other', generation: 1, controls: 1 }));
    machine.start();
    assert.match(await frozenReasonOf(machine), /the store is that of cluster other/);

    // A backup that holds all is put back.
    for (const [key, data] of contents) if (key !== 'leader') await kv.put(key, data);
    while ((await kv.put('filler', '')) < 200);
    await kv.purge('filler');
    await clusterOf(machine);
    assert.deepEqual(await labelsOf(machine), ['kept']);
  },
);

test('a store that was half filled when control was killed is filled from its seed', patient, async (t) => {
  const machine = await lone(t);
  const { record } = makeNode('hub', { role: 'NODE_ROLE_CONTROL', labels: { seeded: 'yes' } });
  const worker = makeNode('worker').record;
  writeSeed(
    machine.stateDirectory,
    1,
    new Map([
      ['node.hub', control.NodeRecordCodec.encode(record)],
      ['node.worker', control.NodeRecordCodec.encode(worker)],
    ]),
  );
  const half = await Store.create(machine.bus.connection, 1, 1, writeSeconds);
  await half.write('node.worker', control.NodeRecordCodec.encode(worker));
  machine.start();
  assert.equal((await clusterOf(machine)).workers, 1);
  assert.deepEqual(await labelsOf(machine), ['seeded']);
  assert.equal(existsSync(membershipPaths(machine.stateDirectory).storeSeed(1)), false);
});

test('a control node that is not to fill the store waits for it without freezing', patient, async (t) => {
  const { url } = await startNatsForTest(t, { jetstream: true });
  const second = await makeMachine(t, url, 'second', ['hub', 'second']);
  second.start();
  await sleep(1_000);
  assert.equal(second.node.unhealthy, undefined);
  assert.equal(second.node.figures().leader, false);
  assert.equal(await Store.open(second.bus.connection, 1, writeSeconds), undefined);
});

test(
  'a store of the past freezes the cluster also when only a member has seen more of it, and can be accepted',
  patient,
  async (t) => {
    const machine = await lone(t);
    machine.start();
    const { revision } = await clusterOf(machine);
    const seen = { version: '0.3.0', clusterId, storeGeneration: 1, seenRevision: revision + 1_000_000 };
    const watch = await machine.agent.openStream(control.Dispatcher.methods.WatchTasks, seen);
    watch.cancel();
    assert.match(
      await frozenReasonOf(machine),
      new RegExp(`is at revision \\d+, and was at ${seen.seenRevision}`),
    );
    await ask(machine, methods.AcceptStore, {});
    // What agents are told of the new generation counts anew: they would hold it for one of the past otherwise.
    const told = await machine.agent.openStream(control.Dispatcher.methods.WatchTasks, seen);
    for await (const message of told) {
      assert.equal(message.storeGeneration, 2);
      assert.equal(message.revision, 0);
      assert.equal(message.view?.revision, 0);
      assert.equal(message.complete, false);
      break;
    }
  },
);

test('entries that were removed leave nothing behind once the store was tidied', patient, async (t) => {
  const machine = await lone(t);
  const store = await Store.create(machine.bus.connection, 1, 1, writeSeconds);
  for (let index = 0; index < 20; index += 1) await store.write(`task.t${index}`, encodeJson(index));
  for (let index = 0; index < 19; index += 1) await store.delete(`task.t${index}`);
  const before = await store.lastRevision();
  await store.forgetRemovals();
  const manager = await machine.bus.connection.jetstreamManager();
  assert.equal((await manager.streams.info('KV_gantry-1')).state.messages, 1);
  assert.equal(await store.lastRevision(), before);
  // One that comes again is written like any other.
  await store.write('task.t3', encodeJson(3));
  const contents = await store.load(0, new AbortController().signal);
  assert.deepEqual([...contents.keys()].sort(), ['task.t19', 'task.t3']);
});

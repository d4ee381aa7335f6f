import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { control } from '@gantry/protocol';
import fc from 'fast-check';
import { hasEnded, holdsRoom, hostPortsOf, isWanted, stateOf } from './placement.js';
import { reconcile } from './reconciler.js';
import { SimulatedCluster } from './testing/simulated-cluster.js';

function cluster(...nodes: readonly string[]): SimulatedCluster {
  const made = new SimulatedCluster();
  for (const id of nodes) made.addNode(id);
  return made;
}

const nodesOf = (tasks: readonly control.Task[]): string[] => tasks.map(({ nodeId }) => nodeId).sort();
const slotsOf = (tasks: readonly control.Task[]): number[] =>
  tasks.map(({ slot }) => slot).sort((a, b) => a - b);

/** All wanted tasks run, in as many containers, and control has nothing to do. */
function assertAtRest(made: SimulatedCluster, serviceId: string, count: number): void {
  const live = made.live(serviceId);
  assert.equal(live.length, count);
  assert.ok(live.every((task) => stateOf(task) === 'TASK_STATE_RUNNING'));
  assert.equal(made.containersOf(serviceId).length, count);
  assert.deepEqual(reconcile(made.snapshot()).steps, []);
}

test('a service gets its replicas, spread over the nodes', () => {
  const made = cluster('a', 'b', 'c');
  made.deploy('s', { replicas: 6 });
  made.run(4);
  assertAtRest(made, 's', 6);
  assert.deepEqual(nodesOf(made.live('s')), ['a', 'a', 'b', 'b', 'c', 'c']);
  assert.deepEqual(slotsOf(made.live('s')), [1, 2, 3, 4, 5, 6]);
});

test('a global service runs once on every node that fits, also on one that comes later', () => {
  const made = cluster('a', 'b');
  made.addNode('c', { labels: { skip: 'yes' } });
  made.deploy('s', {
    mode: 'SERVICE_MODE_GLOBAL',
    placement: { constraints: [{ key: 'node.labels.skip', operator: '!=', value: 'yes' }] },
  });
  made.run(4);
  assertAtRest(made, 's', 2);
  made.addNode('d');
  made.run(4);
  assert.deepEqual(nodesOf(made.live('s')), ['a', 'b', 'd']);
  const [node] = [...made.nodes.values()];
  assert.ok(node !== undefined);
  node.labels['skip'] = 'yes';
  made.run(2);
  assert.deepEqual(nodesOf(made.live('s')), ['b', 'd']);
  assertAtRest(made, 's', 2);
});

test('scaled down, first those go that do not run, then those of the fullest node', () => {
  const made = cluster('a', 'b');
  made.fateOf = ({ slot }) => (slot === 1 ? 'rejected' : 'well');
  made.deploy('s', { replicas: 4 });
  made.run(6);
  made.deploy('s', { replicas: 3 });
  made.run(3);
  assert.deepEqual(slotsOf(made.live('s')), [2, 3, 4]);
  made.fateOf = () => 'well';
  made.deploy('s', { replicas: 2 });
  made.run(3);
  assert.deepEqual(nodesOf(made.live('s')), ['a', 'b']);
  made.deploy('s', { replicas: 0 });
  made.run(3);
  assertAtRest(made, 's', 0);
});

test('tasks of a lost node run elsewhere, and the node removes its own when it is back: none runs twice', () => {
  const made = cluster('a', 'b', 'c');
  made.deploy('s', { replicas: 3 });
  made.run(4);
  made.lose('a', false);
  const [lost] = made.tasks.ofNode('a');
  assert.ok(lost !== undefined);
  assert.equal(stateOf(lost), 'TASK_STATE_LOST');
  assert.equal(lost.desired, 'DESIRED_STATE_REMOVED');
  made.run(4);
  assert.ok(!nodesOf(made.live('s')).includes('a'));
  // Cut off, its container ran on.
  assert.equal(made.containersOf('s').length, 4);
  made.bringBack('a');
  made.run(2);
  assertAtRest(made, 's', 3);
  assert.equal(made.tasks.ofNode('a').length, 0);
});

test('a node that only restarts keeps its tasks', () => {
  const made = cluster('a', 'b');
  made.deploy('s', { replicas: 4 });
  made.run(4);
  const before = made.live('s').map(({ id }) => id);
  const node = made.nodes.get('a');
  assert.ok(node !== undefined);
  node.connected = false;
  node.condition = 'restarting';
  made.run(20);
  assert.deepEqual(
    made.live('s').map(({ id }) => id),
    before,
  );
  made.bringBack('a');
  made.run(2);
  assert.deepEqual(
    made.live('s').map(({ id }) => id),
    before,
  );
});

test('nothing is decided about tasks of nodes that this leader has not heard of yet', () => {
  const made = cluster('a', 'b');
  made.deploy('s', { replicas: 4 });
  made.run(4);
  for (const node of made.nodes.values()) node.condition = 'unknown';
  assert.deepEqual(reconcile(made.snapshot()).steps, []);
});

test('a draining node gives its tasks away and takes none', () => {
  const made = cluster('a', 'b');
  made.deploy('s', { replicas: 4 });
  made.deploy('g', { name: 'g', mode: 'SERVICE_MODE_GLOBAL' });
  made.run(4);
  const node = made.nodes.get('a');
  assert.ok(node !== undefined);
  node.availability = 'AVAILABILITY_DRAIN';
  made.run(6);
  assertAtRest(made, 's', 4);
  assert.deepEqual(nodesOf(made.live('s')), ['b', 'b', 'b', 'b']);
  assert.deepEqual(nodesOf(made.live('g')), ['b']);
  node.availability = 'AVAILABILITY_ACTIVE';
  made.run(6);
  assert.deepEqual(nodesOf(made.live('g')), ['a', 'b']);
});

test('a task that a node rejects is tried on another, and again and again with longer waits', () => {
  const made = cluster('a', 'b');
  made.fateOf = ({ nodeId }) => (nodeId === 'a' ? 'rejected' : 'well');
  made.deploy('s', { replicas: 1 });
  made.run(10);
  assert.deepEqual(nodesOf(made.live('s')), ['b']);

  const hopeless = cluster('a');
  hopeless.fateOf = () => 'rejected';
  const created: number[] = [];
  hopeless.afterDecision = ({ steps }) =>
    void (steps.some(({ type }) => type === 'create-task') && created.push(hopeless.nowMs));
  hopeless.deploy('s', { replicas: 1 });
  hopeless.run(120);
  const waits = created.slice(1).map((at, index) => at - (created[index] ?? 0));
  assert.ok(
    waits.every((wait, index) => wait >= (waits[index - 1] ?? 0)),
    waits.join(' '),
  );
  assert.ok(waits.length < 8, waits.join(' '));
  assert.ok(hopeless.tasks.size <= 6, `${hopeless.tasks.size} records are kept of one slot`);
});

test('a task that ends as its restart policy allows is not replaced', () => {
  for (const [name, fate, again] of [
    ['no', 'complete', false],
    ['no', 'failed', false],
    ['on-failure', 'complete', false],
    ['on-failure', 'failed', false],
    ['always', 'failed', true],
  ] as const) {
    const made = cluster('a');
    made.fateOf = () => fate;
    made.deploy('s', { replicas: 1, container: { image: 'x', restartPolicy: { name } } });
    made.run(20);
    assert.equal(made.tasks.ofService('s').length > 1, again, `${name} ${fate}`);
  }
});

test('a container that somebody removed by hand is replaced', () => {
  const made = cluster('a');
  made.deploy('s', { replicas: 1, container: { image: 'x', restartPolicy: { name: 'on-failure' } } });
  made.run(4);
  const [task] = made.live('s');
  assert.ok(task !== undefined);
  made.nodes.get('a')?.containers.clear();
  made.setStatus(task, 'TASK_STATE_FAILED', { message: 'its container was removed' });
  made.run(8);
  assertAtRest(made, 's', 1);
});

test('a service that is removed goes with the last of its tasks, also with those of a lost node', () => {
  const made = cluster('a', 'b');
  made.deploy('s', { replicas: 4 });
  made.run(4);
  made.lose('a', false);
  made.run(2);
  made.removeService('s');
  made.run(3);
  assert.equal(made.services.size, 0);
  assert.equal(made.tasks.size, 0);
  made.bringBack('a');
  made.run(1);
  assert.equal(made.containersOf('s').length, 0);
});

test('a task that fits nowhere says why, and is placed as soon as a node has room', () => {
  const made = cluster('a');
  made.deploy('s', { replicas: 2, reservation: { memoryBytes: 700 } });
  made.run(4);
  const [pending] = made.live('s').filter(({ nodeId }) => nodeId === '');
  assert.equal(pending?.placementMessage, 'no node fits: 1 of 1 lacks memory');
  assert.deepEqual(reconcile(made.snapshot()).steps, []);
  made.addNode('b');
  made.run(4);
  assertAtRest(made, 's', 2);
  assert.ok(made.live('s').every(({ placementMessage }) => placementMessage === ''));
});

test('a node that is no member any more takes its tasks with it', () => {
  const made = cluster('a', 'b');
  made.deploy('s', { replicas: 2 });
  made.run(4);
  made.nodes.delete('a');
  made.run(4);
  assertAtRest(made, 's', 2);
  assert.deepEqual(nodesOf(made.live('s')), ['b', 'b']);
});

const eventArbitrary = fc.oneof(
  fc.record({ type: fc.constant('lose' as const), node: fc.nat(3), machineToo: fc.boolean() }),
  fc.record({ type: fc.constant('bring back' as const), node: fc.nat(3) }),
  fc.record({ type: fc.constant('restart' as const), node: fc.nat(3) }),
  fc.record({ type: fc.constant('drain' as const), node: fc.nat(3) }),
  fc.record({ type: fc.constant('activate' as const), node: fc.nat(3) }),
  fc.record({ type: fc.constant('scale' as const), service: fc.nat(2), replicas: fc.nat(5) }),
  fc.record({
    type: fc.constant('update' as const),
    service: fc.nat(2),
    replicas: fc.nat(4),
    order: fc.constantFrom('stop-first', 'start-first'),
    parallelism: fc.nat(2),
    failureAction: fc.constantFrom('pause', 'continue', 'rollback'),
  }),
  fc.record({ type: fc.constant('fates' as const), seed: fc.nat(1_000) }),
  fc.record({ type: fc.constant('time' as const), ticks: fc.integer({ min: 1, max: 6 }) }),
);
type Event = typeof eventArbitrary extends fc.Arbitrary<infer T> ? T : never;

const memoryOf = ['s0', 's1', 's2'].map((_, index) => index * 60);

function specOf(
  index: number,
  parts: Partial<Record<string, unknown>> = {},
): Parameters<SimulatedCluster['deploy']>[1] {
  return {
    name: `s${index}`,
    mode: index === 2 ? 'SERVICE_MODE_GLOBAL' : 'SERVICE_MODE_REPLICATED',
    replicas: 2,
    reservation: { memoryBytes: memoryOf[index] ?? 0 },
    container: {
      image: 'x',
      restartPolicy: { name: 'always' },
      ports: index === 1 ? [{ hostPort: 80, containerPort: 80, protocol: 'tcp', hostIp: '' }] : [],
    },
    update: { monitorMs: 0, parallelism: 1, order: 'stop-first', failureAction: 'pause' },
    ...parts,
  };
}

function happen(made: SimulatedCluster, event: Event): void {
  const nodeId = 'node' in event ? `n${event.node}` : '';
  const node = made.nodes.get(nodeId);
  switch (event.type) {
    case 'lose':
      return made.lose(nodeId, event.machineToo);
    case 'bring back':
      return made.bringBack(nodeId);
    case 'restart':
      if (node === undefined) return;
      node.connected = false;
      node.condition = 'restarting';
      return made.decide();
    case 'drain':
    case 'activate':
      if (node === undefined) return;
      node.availability = event.type === 'drain' ? 'AVAILABILITY_DRAIN' : 'AVAILABILITY_ACTIVE';
      return made.decide();
    case 'scale':
      made.deploy(`s${event.service}`, {
        ...made.services.get(`s${event.service}`)?.spec,
        replicas: event.replicas,
      });
      return made.decide();
    case 'update': {
      const { replicas, parallelism, failureAction } = event;
      // A port of the host leaves no room for a successor beside the old one.
      const order = event.service === 1 ? 'stop-first' : event.order;
      made.deploy(
        `s${event.service}`,
        specOf(event.service, { replicas, update: { monitorMs: 0, parallelism, order, failureAction } }),
        true,
      );
      return made.decide();
    }
    case 'fates':
      made.fateOf = ({ id }) => {
        const value = (Number(id.slice(1)) * 7919 + event.seed) % 10;
        return value === 0 ? 'rejected' : value === 1 ? 'failed' : 'well';
      };
      return;
    case 'time':
      return made.run(event.ticks);
  }
}

/** What holds after every single decision, whatever happens. */
function assertSafe(made: SimulatedCluster): void {
  for (const service of made.services.values()) {
    const live = made.live(service.id);
    const keys = live
      .filter((task) => task.slot !== 0 || task.nodeId !== '')
      .map((task) => `${task.slot === 0 ? task.nodeId : task.slot} ${task.serviceVersion}`);
    assert.equal(new Set(keys).size, keys.length, `two tasks of a place are wanted: ${keys.join(', ')}`);
  }
  for (const node of made.nodes.values()) {
    const holding = made.tasks.ofNode(node.id).filter(holdsRoom);
    const memory = holding.reduce((sum, { spec }) => sum + (spec?.reservation?.memoryBytes ?? 0), 0);
    assert.ok(memory <= node.memoryBytes, `${node.id} is over its capacity`);
    const ports = holding.flatMap(({ spec }) => hostPortsOf(spec).map(({ port }) => port));
    assert.equal(new Set(ports).size, ports.length, `a port is used twice on ${node.id}`);
  }
  // Forward only: what has ended never becomes live again, and what is not wanted is not wanted again.
  for (const task of made.tasks.all())
    if (stateOf(task) === 'TASK_STATE_LOST') assert.ok(!isWanted(task), 'a lost task is wanted');
}

test('whatever happens, no place has two tasks of a version, no node more than it has, and in the end all runs once', () => {
  fc.assert(
    fc.property(fc.array(eventArbitrary, { maxLength: 30 }), (events) => {
      const made = cluster('n0', 'n1', 'n2', 'n3');
      for (const node of made.nodes.values()) node.memoryBytes = 400;
      for (const index of [0, 1, 2]) made.deploy(`s${index}`, specOf(index));
      made.afterDecision = () => assertSafe(made);
      for (const event of events) happen(made, event);
      // Then all is well again.
      made.fateOf = () => 'well';
      for (const node of made.nodes.values()) {
        node.availability = 'AVAILABILITY_ACTIVE';
        made.bringBack(node.id);
      }
      for (const [id, service] of made.services)
        if (service.updateStatus?.state === 'paused') made.deploy(id, service.spec, true);
      made.run(200);
      for (const service of made.services.values()) {
        const isGlobal = service.spec?.mode === 'SERVICE_MODE_GLOBAL';
        const wanted = isGlobal ? 4 : (service.spec?.replicas ?? 0);
        // Its host port lets at most four of s1 run.
        assert.equal(
          made.containersOf(service.id).length,
          Math.min(wanted, 4 + (service.id === 's0' ? 1 : 0)),
          service.id,
        );
        const current = made
          .live(service.id)
          .filter(({ serviceVersion }) => serviceVersion === service.taskVersion);
        assert.equal(current.length, wanted, `${service.id}: tasks of the newest version`);
        assert.equal(made.live(service.id).length, wanted);
        const running = made.live(service.id).filter((task) => stateOf(task) === 'TASK_STATE_RUNNING');
        assert.equal(new Set(running.map(({ id }) => id)).size, made.containersOf(service.id).length);
      }
      assert.deepEqual(reconcile(made.snapshot()).steps, []);
      assert.ok(made.tasks.all().every((task) => !hasEnded(task) || !isWanted(task)));
    }),
    { numRuns: 60 },
  );
});

test('the same snapshot gives the same steps', () => {
  fc.assert(
    fc.property(fc.array(eventArbitrary, { maxLength: 12 }), (events) => {
      const made = cluster('n0', 'n1', 'n2', 'n3');
      for (const index of [0, 1, 2]) made.deploy(`s${index}`, specOf(index));
      for (const event of events) {
        happen(made, event);
        assert.deepEqual(reconcile(made.snapshot()), reconcile(made.snapshot()));
      }
      made.nodes.delete('n0');
      assert.deepEqual(reconcile(made.snapshot()), reconcile(made.snapshot()));
    }),
    { numRuns: 40 },
  );
});

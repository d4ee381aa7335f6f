import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Leases } from './leases.js';

const leaseMs = 3_000;
const restartLeaseMs = 60_000;

interface Bench {
  readonly leases: Leases;
  /** Nodes whose machine is there; undefined: nobody knows. */
  connected: Set<string> | undefined;
  readonly changes: string[];
  /** Lets time pass in steps of 50 ms. */
  advance(ms: number): Promise<void>;
}

function bench(t: TestContext, nodes: readonly string[]): Bench {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const changes: string[] = [];
  const leases = new Leases({
    leaseMs,
    restartLeaseMs,
    nowMs: () => Date.now(),
    evidence: () =>
      made.connected === undefined
        ? Promise.reject(new Error('nobody knows'))
        : Promise.resolve(made.connected),
    expired: (nodeId) => changes.push(`${nodeId} expired`),
    onChange: (nodeId) => changes.push(`${nodeId} ${leases.conditionOf(nodeId)}`),
  });
  const made: Bench = {
    leases,
    connected: new Set(),
    changes,
    async advance(ms) {
      for (let passed = 0; passed < ms; passed += 50) {
        t.mock.timers.tick(50);
        for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
      }
    },
  };
  t.after(() => leases.close());
  leases.grantAll(nodes);
  return made;
}

test('a new leader grants every node one whole lease, then takes for lost who is not there', async (t) => {
  const { leases, changes, advance } = bench(t, ['a', 'b']);
  assert.equal(leases.conditionOf('a'), 'unknown');
  leases.renew('a', false);
  await advance(leaseMs - 100);
  leases.renew('a', false);
  assert.equal(leases.conditionOf('b'), 'unknown');
  await advance(300);
  assert.equal(leases.conditionOf('b'), 'lost');
  assert.equal(leases.conditionOf('a'), 'ready');
  assert.deepEqual(changes, ['a ready', 'b expired', 'b lost']);
});

test('a lease that is renewed changes nothing', async (t) => {
  const { leases, changes, advance } = bench(t, ['a']);
  leases.renew('a', false);
  for (let second = 0; second < 10; second += 1) {
    await advance(1_000);
    leases.renew('a', false);
  }
  assert.deepEqual(changes, ['a ready']);
});

test('a node whose machine is there keeps its tasks for the restart lease and no longer', async (t) => {
  const one = bench(t, ['a']);
  one.leases.renew('a', false);
  one.connected = new Set(['a']);
  await one.advance(leaseMs + 100);
  assert.equal(one.leases.conditionOf('a'), 'restarting');
  await one.advance(restartLeaseMs - 1_000);
  assert.equal(one.leases.conditionOf('a'), 'restarting');
  await one.advance(3_000);
  assert.equal(one.leases.conditionOf('a'), 'lost');
});

test('a machine that nats-server notices to be gone after the lease has ended is lost within half a second', async (t) => {
  const one = bench(t, ['a']);
  one.leases.renew('a', false);
  one.connected = new Set(['a']);
  await one.advance(leaseMs + 1_000);
  assert.equal(one.leases.conditionOf('a'), 'restarting');
  one.connected = new Set();
  await one.advance(500);
  assert.equal(one.leases.conditionOf('a'), 'lost');
});

test('a connection that is away for a moment while the node restarts does not lose it, a longer one does', async (t) => {
  const one = bench(t, ['a']);
  one.connected = new Set(['a']);
  one.leases.renew('a', false);
  await one.advance(leaseMs + 10_000);
  one.connected = new Set();
  await one.advance(1_500);
  one.connected = new Set(['a']);
  await one.advance(10_000);
  assert.equal(one.leases.conditionOf('a'), 'restarting');
  one.connected = new Set();
  await one.advance(4_500);
  assert.equal(one.leases.conditionOf('a'), 'lost');
});

test('an announced restart needs no machine, and ends with the renewal', async (t) => {
  const one = bench(t, ['a']);
  one.leases.renew('a', true);
  assert.equal(one.leases.conditionOf('a'), 'restarting');
  await one.advance(restartLeaseMs - 1_000);
  assert.equal(one.leases.conditionOf('a'), 'restarting');
  one.leases.renew('a', false);
  assert.equal(one.leases.conditionOf('a'), 'ready');
  one.leases.renew('a', true);
  await one.advance(restartLeaseMs + 100);
  assert.equal(one.leases.conditionOf('a'), 'lost');
});

test('while nobody can say which machines are there, none is lost before the restart lease is over', async (t) => {
  const one = bench(t, ['a']);
  one.connected = undefined;
  await one.advance(leaseMs + 10_000);
  assert.equal(one.leases.conditionOf('a'), 'restarting');
});

test('a lost node that is heard of again is ready at once, and nodes that were removed are forgotten', async (t) => {
  const { leases, advance } = bench(t, ['a', 'b']);
  await advance(leaseMs + 200);
  assert.equal(leases.conditionOf('a'), 'lost');
  leases.renew('a', false);
  assert.equal(leases.conditionOf('a'), 'ready');
  leases.forget('b');
  assert.equal(leases.conditionOf('b'), 'unknown');
});

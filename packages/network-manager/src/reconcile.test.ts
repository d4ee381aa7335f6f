import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { planReconciliation } from './reconcile.js';
import type { SandboxRecord, SandboxState } from './records.js';

const handles = { userDevice: 4, userInode: 10, netDevice: 4, netInode: 11 };
const nothing = { userDevice: 0, userInode: 0, netDevice: 0, netInode: 0 };
const recordOf = (id: string, state: SandboxState, bootId = 'now'): SandboxRecord => ({
  version: 1,
  id,
  bootId,
  state,
  network: 'bridge',
  ownUserNamespace: true,
  idRange: 0,
  address: 1,
  hostInterface: `gv${id}`,
  handles,
  owner: '',
  holders: [],
  ports: [],
});

const scene = fc.uniqueArray(
  fc.record({
    id: fc.stringMatching(/^[0-9a-f]{8}$/),
    state: fc.constantFrom<SandboxState>('making', 'ready', 'attaching', 'held', 'dying'),
    bootId: fc.constantFrom('now', 'before'),
    recorded: fc.boolean(),
    pinned: fc.boolean(),
    linked: fc.boolean(),
  }),
  { selector: (one) => one.id, maxLength: 12 },
);

test('every sandbox has exactly one fate, and no container of this boot loses its own', () => {
  fc.assert(
    fc.property(scene, (sandboxes) => {
      const recorded = sandboxes.filter((one) => one.recorded);
      const plan = planReconciliation(
        recorded.map((one) => recordOf(one.id, one.state, one.bootId)),
        {
          bootId: 'now',
          directories: sandboxes.map((one) => one.id),
          links: new Set(sandboxes.filter((one) => one.linked).map((one) => `gv${one.id}`)),
          pinnedIn: (id) => (sandboxes.find((one) => one.id === id)?.pinned === true ? handles : nothing),
        },
      );
      const fates = [...plan.pool, ...plan.held, ...plan.destroy]
        .map((record) => record.id)
        .concat(plan.strayDirectories);
      assert.deepEqual([...fates].sort(), sandboxes.map((one) => one.id).sort());
      assert.deepEqual(
        plan.held.map((record) => record.id),
        recorded.filter((one) => one.state === 'held' && one.bootId === 'now').map((one) => one.id),
      );
      for (const record of plan.pool) {
        const one = recorded.find((candidate) => candidate.id === record.id);
        assert.ok(one?.state === 'ready' && one.bootId === 'now' && one.pinned && one.linked);
      }
      assert.deepEqual(
        [...plan.strayLinks].sort(),
        sandboxes
          .filter((one) => one.linked && !one.recorded)
          .map((one) => `gv${one.id}`)
          .sort(),
      );
    }),
  );
});

test('names that are not of a sandbox are left alone', () => {
  const plan = planReconciliation([], {
    bootId: 'now',
    directories: ['notes', '..', '0123456'],
    links: new Set(),
    pinnedIn: () => nothing,
  });
  assert.deepEqual(plan.strayDirectories, []);
});

test('a held sandbox that lost its interface is kept and said to be damaged', () => {
  const plan = planReconciliation([recordOf('00000001', 'held')], {
    bootId: 'now',
    directories: [],
    links: new Set(),
    pinnedIn: () => handles,
  });
  assert.equal(plan.held.length, 1);
  assert.match(plan.damaged[0]?.what ?? '', /gv00000001 is gone/);
});

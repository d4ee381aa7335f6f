import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Slots } from './slots.js';

test('no number is ever held twice, and none is refused while one is free', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.oneof(fc.constant('take' as const), fc.nat(19)), { maxLength: 200 }),
      (size, steps) => {
        const slots = new Slots(size);
        const held: number[] = [];
        for (const step of steps) {
          if (step === 'take') {
            const slot = slots.take();
            assert.equal(slot === undefined, held.length === size);
            if (slot === undefined) continue;
            assert.ok(slot >= 0 && slot < size && !held.includes(slot));
            held.push(slot);
          } else if (held.length > 0) {
            const [slot] = held.splice(step % held.length, 1);
            slots.give(slot ?? 0);
          }
        }
        assert.equal(slots.taken, held.length);
      },
    ),
  );
});

test('a number given back is the last to be taken again', () => {
  const slots = new Slots(3);
  assert.deepEqual([slots.take(), slots.take()], [0, 1]);
  slots.give(0);
  assert.deepEqual([slots.take(), slots.take(), slots.take()], [2, 0, undefined]);
});

test('a claimed number is not handed out, and not claimed twice', () => {
  const slots = new Slots(4);
  assert.equal(slots.claim(0), true);
  assert.equal(slots.claim(0), false);
  assert.equal(slots.claim(4), false);
  assert.equal(slots.claim(-1), false);
  assert.deepEqual([slots.take(), slots.take(), slots.take(), slots.take()], [1, 2, 3, undefined]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatCpuList, parseCpuList } from './cpu-list.js';
import { sharesFromWeight, sharesRange, weightFromShares, weightRange } from './cpu-weight.js';

const anyShares = fc.integer({ min: sharesRange.min, max: sharesRange.max });
const anyWeight = fc.integer({ min: weightRange.min, max: weightRange.max });

test('both ends and the default of shares meet those of weight', () => {
  assert.deepEqual([2, 1024, 262_144].map(weightFromShares), [1, 100, 10_000]);
  assert.deepEqual([1, 100, 10_000].map(sharesFromWeight), [2, 1024, 262_144]);
});

test('every weight survives the way to shares and back', () => {
  for (let weight = weightRange.min; weight <= weightRange.max; weight++)
    assert.equal(weightFromShares(sharesFromWeight(weight)), weight);
});

test('more shares never weigh less, and stay in range', () => {
  fc.assert(
    fc.property(anyShares, anyShares, (a, b) => {
      const [less, more] = a < b ? [a, b] : [b, a];
      assert.ok(weightFromShares(less) <= weightFromShares(more));
      assert.ok(weightFromShares(a) >= weightRange.min && weightFromShares(a) <= weightRange.max);
    }),
  );
  fc.assert(fc.property(anyWeight, (weight) => sharesFromWeight(weight) >= sharesRange.min));
});

test('any set of CPUs survives the way to a list and back', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 300 })), (cpus) => {
      assert.deepEqual(
        parseCpuList(formatCpuList(cpus)),
        [...cpus].sort((a, b) => a - b),
      );
    }),
  );
});

test('what is not a list is not read as one', () => {
  for (const text of ['a', '1-', '-1', '3-1', '1,,2', '0x1', '1 2', '0-3,', '1-2-3'])
    assert.equal(parseCpuList(text), undefined, text);
  assert.deepEqual(parseCpuList(' 0-3,7\n'), [0, 1, 2, 3, 7]);
});

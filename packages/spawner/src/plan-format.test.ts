import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PlanWriter, readPlan } from './plan-format.js';

test('a plan is a header and records, each with its length, strings ending in NUL', () => {
  const plan = new PlanWriter()
    .add(50, (record) => record.strings(['sh', 'ä']))
    .add(8, (record) => record.u64(0x1_0000_0002n))
    .add(1)
    .finish();
  assert.equal(plan.subarray(0, 4).toString(), 'GPLN');
  assert.deepEqual([plan.readUInt32LE(4), plan.readUInt32LE(8)], [2, plan.length]);
  const [list, wide, empty] = readPlan(plan);
  assert.equal(list?.payload.toString('hex'), '02000000' + '020000007368' + '00' + '02000000c3a4' + '00');
  assert.equal(wide?.payload.readBigUInt64LE(), 0x1_0000_0002n);
  assert.deepEqual([empty?.tag, empty?.payload.length], [1, 0]);
});

test('bytes longer than the room that is left are whole, at their place', () => {
  const long = Buffer.alloc(40_000, 7);
  const plan = new PlanWriter()
    .add(1, (record) => record.u32(5))
    .add(57, (record) => record.bytes(long))
    .finish();
  const [, bytes] = readPlan(plan);
  assert.ok(bytes?.payload.subarray(4).equals(long));
});

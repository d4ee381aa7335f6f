import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UsageFailure } from '../failures.js';
import { DetachWatcher, parseDetachKeys, usualDetachKeys } from './detach-keys.js';

function type(watcher: DetachWatcher, ...chunks: number[][]): { passed: number[]; detached: boolean } {
  const passed: number[] = [];
  for (const chunk of chunks) {
    const { pass, detach } = watcher.filter(Uint8Array.from(chunk));
    passed.push(...pass);
    if (detach) return { passed, detached: true };
  }
  return { passed, detached: false };
}

test('ctrl-p ctrl-q leaves, in one piece or in two', () => {
  assert.deepEqual(type(new DetachWatcher(usualDetachKeys), [1, 2, 0x10, 0x11, 3]), {
    passed: [1, 2],
    detached: true,
  });
  assert.deepEqual(type(new DetachWatcher(usualDetachKeys), [1, 0x10], [0x11]), {
    passed: [1],
    detached: true,
  });
});

test('a ctrl-p that was not meant so reaches the process', () => {
  assert.deepEqual(type(new DetachWatcher(usualDetachKeys), [0x10], [5]), {
    passed: [0x10, 5],
    detached: false,
  });
  assert.deepEqual(type(new DetachWatcher(usualDetachKeys), [0x10, 0x10, 0x11]), {
    passed: [0x10],
    detached: true,
  });
});

test('without the keys in it, everything typed passes', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 5 })), (chunks) => {
      const typed = chunks.flatMap((chunk) => [...chunk]).filter((byte) => byte !== 0x11);
      const { passed, detached } = type(new DetachWatcher(usualDetachKeys), typed, [1]);
      assert.ok(!detached);
      assert.deepEqual(passed, [...typed, 1]);
    }),
  );
});

test("keys are written in docker's way", () => {
  assert.deepEqual(parseDetachKeys('ctrl-a,d'), [1, 100]);
  assert.deepEqual(parseDetachKeys(''), []);
  assert.throws(() => parseDetachKeys('alt-x'), UsageFailure);
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Cleanup, withCleanup } from './cleanup.js';

describe('cleanup', () => {
  it('undoes what was made last first, once', async () => {
    const undone: string[] = [];
    const cleanup = new Cleanup();
    for (const what of ['first', 'second']) cleanup.defer(what, () => void undone.push(what));
    await cleanup.run();
    await cleanup.run();
    assert.deepEqual(undone, ['second', 'first']);
  });

  it('goes on after a failure and tells all of them', async () => {
    const undone: string[] = [];
    const cleanup = new Cleanup();
    cleanup.defer('first', () => void undone.push('first'));
    cleanup.defer('second', () => Promise.reject(new Error('busy')));
    await assert.rejects(cleanup.run(), /something of the benchmark is left/);
    assert.deepEqual(undone, ['first']);
  });

  it('happens when the work fails', async () => {
    const undone: string[] = [];
    const work = withCleanup((cleanup) => {
      cleanup.defer('it', () => void undone.push('it'));
      return Promise.reject(new Error('the work failed'));
    });
    await assert.rejects(work, /the work failed/);
    assert.deepEqual(undone, ['it']);
  });
});

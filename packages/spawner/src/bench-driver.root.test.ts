import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { asLogged, compareLog } from './log-comparison.js';
import { loadNative } from './native.js';
import { skipUnlessRoot, SpawnerFixture, specOf } from './spawner-fixture.js';
import { startStages, StartWatch } from './start-moments.js';

const options = { skip: skipUnlessRoot };
const watch = new StartWatch(loadNative());
let fixture: SpawnerFixture;

before(async () => {
  if (skipUnlessRoot === false) fixture = await SpawnerFixture.make(watch.native);
});
after(async () => fixture?.remove());

test(
  'a start that is watched tells when it reached each of its stages, one after the other',
  options,
  async () => {
    const prepared = fixture.request('1'.repeat(64), specOf(['true']));
    const began = performance.now();
    watch.begin();
    const { main } = await fixture.spawner.start(prepared);
    const stages = watch.end(main.directory.path);
    const took = performance.now() - began;
    await main.exited;
    assert.equal(stages.length, startStages.length);
    assert.ok(
      stages.every((stage) => stage >= 0),
      `not in order: ${stages.join(', ')}`,
    );
    const sum = stages.reduce((total, stage) => total + stage, 0);
    assert.ok(sum > 0.5 && sum <= took, `stages of ${sum} ms make up a start of ${took} ms`);
  },
);

test('what a log lacks of what was written is found, at its end and within', options, () => {
  const directory = fixture.makeDirectory('logs');
  const record = (log: string): string =>
    `${JSON.stringify({ log, stream: 'stdout', time: '2026-01-01T00:00:00Z' })}\n`;
  const compare = (written: Buffer, ...parts: string[]) => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'log'), parts.map(record).join(''));
    return compareLog(join(directory, 'log'), asLogged(written));
  };
  const whole = { missing: 0, isEqual: true };
  assert.deepEqual(compare(Buffer.from('one\ntwo\n'), 'one\n', 'two\n'), whole);
  assert.deepEqual(compare(Buffer.from([0x61, 0x80, 0xff, 0x0a]), 'a\ufffd\ufffd\n'), whole);
  assert.deepEqual(compare(Buffer.from('one\ntwo\n'), 'one\n'), { missing: 4, isEqual: false });
  assert.deepEqual(compare(Buffer.from('one\ntwo\n'), 'one\n', 'tw0\n'), { missing: 4, isEqual: false });
  assert.equal(compare(Buffer.from('one\n'), 'one\n', 'more\n').isEqual, false);
});

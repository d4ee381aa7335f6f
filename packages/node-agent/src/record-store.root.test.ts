import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ContainerRecord } from './record.js';
import { RecordStore } from './record-store.js';

const skip = process.getuid?.() === 0 ? false : 'needs root: it mounts a small tmpfs';
const id = 'a'.repeat(64);
const recordOf = (text: string): ContainerRecord => ({ id, name: text }) as unknown as ContainerRecord;

test('on a full disk a record is replaced where it stands, or stays as it was', { skip }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-records-test-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory]);
  try {
    const store = new RecordStore(directory);
    mkdirSync(store.pathOf(id));
    const read = (): unknown => JSON.parse(readFileSync(store.pathOf(id, 'container.json'), 'utf8'));
    store.write(recordOf('x'.repeat(3_000)));
    assert.throws(() => writeFileSync(join(directory, 'filler'), Buffer.alloc(1 << 20)), { code: 'ENOSPC' });
    for (const name of ['short', 'ä'.repeat(1_500), 'short again']) {
      store.write(recordOf(name));
      assert.deepEqual(read(), { id, name });
    }
    assert.throws(() => store.write(recordOf('y'.repeat(6_000))), { code: 'ENOSPC' });
    assert.deepEqual(read(), { id, name: 'short again' });
  } finally {
    execFileSync('umount', [directory]);
    rmSync(directory, { recursive: true });
  }
});

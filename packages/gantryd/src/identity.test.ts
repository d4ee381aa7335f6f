import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isGantryError } from '@gantry/protocol';
import { loadBusKey, loadNodeId } from './identity.js';

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-gantryd-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test('a node keeps the id it was given first, and another node has another', (t) => {
  const directory = temporaryDirectory(t);
  const nodeId = loadNodeId(directory);
  assert.match(nodeId, /^[0-9a-f]{16}$/);
  assert.equal(loadNodeId(directory), nodeId);
  assert.notEqual(loadNodeId(temporaryDirectory(t)), nodeId);
});

test('a bus key is made once, for root alone to read', (t) => {
  const directory = temporaryDirectory(t);
  const key = loadBusKey(directory, 'spawner');
  assert.match(key.seed, /^SU/);
  assert.match(key.publicKey, /^U/);
  assert.deepEqual(loadBusKey(directory, 'spawner'), key);
  assert.notEqual(loadBusKey(directory, 'api').seed, key.seed);
  assert.equal(statSync(join(directory, 'keys')).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, 'keys/spawner.nk')).mode & 0o777, 0o600);
});

test('a damaged key or node id is named, never replaced in silence', (t) => {
  const directory = temporaryDirectory(t);
  loadBusKey(directory, 'api');
  writeFileSync(join(directory, 'keys/api.nk'), 'nonsense\n');
  assert.throws(
    () => loadBusKey(directory, 'api'),
    (error) => isGantryError(error, 'data_loss') && /api\.nk/.test(error.message),
  );
  writeFileSync(join(directory, 'node-id'), '../..\n');
  assert.throws(() => loadNodeId(directory), /node-id/);
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { membershipPaths, readMembership, readView, writeMembership, writeView } from './membership-files.js';

const record = {
  version: 1,
  clusterId: 'c1',
  nodeId: 'n1',
  role: 'worker',
  controlPending: false,
  address: '192.0.2.1',
  leafPort: 1,
  routePort: 2,
  apiPort: 3,
} as const;

test('a membership and a view come back as they were written, readable by root alone', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-membership-'));
  try {
    assert.equal(readMembership(directory), undefined);
    assert.equal(readView(directory), undefined);
    writeMembership(directory, record);
    assert.deepEqual(readMembership(directory), record);
    assert.equal(statSync(membershipPaths(directory).membership).mode & 0o777, 0o600);
    const view = {
      clusterId: 'c1',
      storeGeneration: 1,
      revision: 7,
      members: [],
      apiTokens: [],
      seedingNodeId: '',
    };
    writeView(directory, view);
    assert.deepEqual(readView(directory), view);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a membership that cannot be understood is told by its path', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-membership-'));
  try {
    writeMembership(directory, record);
    for (const text of ['', '{', '{"version":2}']) {
      writeFileSync(membershipPaths(directory).membership, text);
      assert.throws(() => readMembership(directory), {
        code: 'data_loss',
        message: /membership\.json cannot be understood/,
      });
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

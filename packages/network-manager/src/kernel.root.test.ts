import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { needsRoot } from './testing/test-host.js';

test(
  'the native code refuses what cannot be, and leaves nothing of what it began',
  { skip: needsRoot },
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'gantry-test-net-kernel-'));
    try {
      const script = fileURLToPath(new URL('./testing/kernel-scenario.js', import.meta.url));
      // Namespaces of its own: whatever goes wrong ends with the process.
      const ended = spawnSync('unshare', ['--net', '--mount', process.execPath, script, directory], {
        encoding: 'utf8',
        timeout: 60_000,
      });
      assert.equal(ended.status, 0, ended.stderr);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
);

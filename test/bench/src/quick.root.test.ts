import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runCommand, skipUnlessRoot } from '@gantry/test-harness';
import { findMissingPrograms } from './machine.js';
import type { Report } from './report.js';
import { findGaps } from './row.js';

const main = fileURLToPath(new URL('main.js', import.meta.url));

function reasonToSkip(): string | boolean {
  if (skipUnlessRoot !== false) return skipUnlessRoot;
  const lacking = findMissingPrograms();
  return lacking.length > 0 && `this machine cannot measure the peers: it lacks ${lacking.join(', ')}`;
}

describe('npm run bench -- --quick', { skip: reasonToSkip() }, () => {
  it('measures every row beside its peers', { timeout: 170_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gantry-quick-bench-'));
    try {
      const json = join(directory, 'rows.json');
      const { code, stderr } = await runCommand(process.execPath, [main, '--quick', '--json', json], {
        timeoutMs: 165_000,
      });
      assert.equal(code, 0, stderr);
      const { rows } = JSON.parse(readFileSync(json, 'utf8')) as Report;
      assert.deepEqual(findGaps(rows), []);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runCommand, skipUnlessRoot } from '@gantry/test-harness';

const root = fileURLToPath(new URL('../../../', import.meta.url));

describe('npm run cluster', { skip: skipUnlessRoot }, () => {
  test('shows three nodes and a stack on them, and leaves nothing', { timeout: 120_000 }, async () => {
    const before = readdirSync('/run/netns').sort();
    const { code, stdout, stderr } = await runCommand(process.execPath, ['tools/cluster.mjs', '--once'], {
      cwd: root,
      timeoutMs: 110_000,
    });
    assert.equal(code, 0, `${stderr}\n${stdout}`);
    assert.match(stdout, /host1[\s\S]*host2[\s\S]*host3/);
    assert.match(stdout, /demo_web .*3\/3/);
    assert.equal(stdout.match(/Hello from a container/g)?.length, 3);
    assert.match(stdout, /cluster: ok\n$/);
    assert.deepEqual(readdirSync('/run/netns').sort(), before);
  });

  test('a flag that it does not know is refused before anything is made', async () => {
    const { code, stderr } = await runCommand(process.execPath, ['tools/cluster.mjs', '--twice'], {
      cwd: root,
    });
    assert.equal(code, 2);
    assert.match(stderr, /--twice/);
  });
});

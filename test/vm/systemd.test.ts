import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { boot, skip } from './machine.js';

const makeGuest = fileURLToPath(new URL('../make-systemd-guest.sh', import.meta.url));

/** What each group of tests in the guest is about, and how many tests it has at least. */
const groups = {
  limits: ['limits, devices, freezing and figures are those of cgroup v2, also for crun', 12],
  systemd: ['scopes of systemd are made, limited, changed and taken away', 5],
  rootless: ['a user who is not root has the ids that newuidmap gives her', 3],
  apparmor: ['an AppArmor profile confines a container and an exec', 3],
} as const;

interface Result {
  readonly title: string;
  readonly passed: boolean;
}

/** Tests inside a suite, from the TAP of one group. */
function resultsOf(text: string): readonly Result[] {
  return [...text.matchAll(/^ {4}(ok|not ok) \d+ - (.*)$/gm)].map(([, word, title = '']) => ({
    title,
    passed: word === 'ok',
  }));
}

describe('gantry-oci on a machine of systemd with cgroup v2 alone', { skip }, () => {
  let directory: string;
  let text = '';

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'gantry-vm-'));
    const made = spawnSync('sh', [makeGuest, directory], { encoding: 'utf8', timeout: 120_000 });
    assert.equal(made.status, 0, made.stderr);
    text = await boot(directory, 'apparmor=1 security=apparmor');
  });

  after(() => rmSync(directory, { recursive: true, force: true }));

  test('systemd is its first process', () => {
    assert.match(text, /^guest: init=systemd$/m);
  });

  for (const [group, [title, fewest]] of Object.entries(groups))
    test(title, async (t) => {
      const own =
        new RegExp(`^guest: group=${group}$([^]*?)^guest: seconds=${group} `, 'm').exec(text)?.[1] ?? '';
      const results = resultsOf(own);
      assert.ok(
        results.length >= fewest,
        `only ${results.length} tests of ${group} were run:\n${own.slice(-2_000)}`,
      );
      for (const result of results)
        await t.test(result.title, () => {
          const at = own.indexOf(`- ${result.title}\n`);
          assert.ok(result.passed, own.slice(at, at + 1_500));
        });
    });
});

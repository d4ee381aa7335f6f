import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeArchive } from '@gantry/demo';
import { boxImage } from '@gantry/test-harness';
import { boot, skip } from './machine.js';

const makeGuest = fileURLToPath(new URL('../make-guest.sh', import.meta.url));
/** What the guest said: NAME=VALUE lines of its console. */
type Facts = Readonly<Record<string, string>>;

function factsOf(text: string): Facts {
  const pairs = [...text.matchAll(/^guest: (\w[\w.]*)=(.*)$/gm)].map(([, name, value]) => [name, value]);
  return Object.fromEntries(pairs) as Facts;
}

describe('a machine with cgroup v2 alone and the oldest kernel promised', { skip }, () => {
  let directory: string;
  let facts: Facts;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'gantry-vm-'));
    writeArchive(join(directory, 'image.tar'), [boxImage()]);
    const made = spawnSync('sh', [makeGuest, directory], { encoding: 'utf8', timeout: 120_000 });
    assert.equal(made.status, 0, made.stderr);
    facts = factsOf(await boot(directory));
  });

  after(() => rmSync(directory, { recursive: true, force: true }));

  test('it runs Linux 6.1 and Gantry finds its controllers', () => {
    assert.match(facts['kernel'] ?? '', /^6\.1\./);
    assert.equal(facts['up'], 'ok');
    assert.equal(facts['load'], '0');
    assert.match(facts['cgroups'] ?? '', /v2: cpu cpuset io memory pids/);
  });

  test('limits reach the files of the v2 hierarchy', () => {
    assert.equal(facts['run'], '0');
    assert.equal(facts['memory.max'], String(32 * 1024 * 1024));
    assert.equal(facts['cpu.max'], '50000 100000');
    assert.equal(facts['pids.max'], '30');
    assert.equal(facts['cpuset.cpus'], '0');
  });

  test('the container is in its cgroup, sees it as the root, and has a uid range of its own', () => {
    assert.match(facts['joined'] ?? '', /^0::\/gantry\/containers\/[0-9a-f]{64}$/);
    assert.equal(facts['inside'], '0::/');
    assert.match(facts['uid_map'] ?? '', /^\s*0\s+\d{6,}\s+65536$/);
  });

  test('a published port answers and names resolve', () => {
    assert.equal(facts['page'], 'page of the test image');
    assert.equal(facts['by_name'], 'page of the test image');
  });

  test('a paused container is frozen', () => {
    assert.equal(facts['frozen'], 'frozen 1');
  });

  test('a container that outgrows its memory is killed and says so', () => {
    assert.equal(facts['oom_exit'], '137');
    assert.equal(facts['oom_killed'], '"OOMKilled": true');
  });

  test('containers outlive gantryd and are adopted with the same pid', () => {
    assert.equal(facts['kept'], facts['pid']);
    assert.equal(facts['adopted'], 'web running');
  });

  test('gantry down leaves no cgroup, mount or link', () => {
    assert.equal(facts['down'], '0');
    assert.equal(facts['left'], '0 0 0');
  });
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Caller } from './container.js';

void describe('AppArmor', () => {
  const caller = new Caller({ command: ['gantry-oci'] });
  const parser = spawnSync('apparmor_parser', ['--replace', '--skip-cache', '/etc/apparmor.d/guest'], {
    encoding: 'utf8',
  });

  void test('is there, with the profile of these tests', () => {
    assert.equal(parser.status, 0, parser.stderr);
    assert.match(readFileSync('/sys/kernel/security/apparmor/profiles', 'utf8'), /^guest \(enforce\)$/m);
    assert.equal(
      (JSON.parse(caller.must(['features'])) as { linux: { apparmor: { enabled: boolean } } }).linux.apparmor
        .enabled,
      true,
    );
  });

  void test('confines the process by its profile, and an exec by the same or another', () => {
    const { id, bundle } = caller.bundle(['sleep', '1000'], (config) => {
      config.process.apparmorProfile = 'guest';
    });
    caller.must(['run', '--detach', '--bundle', bundle, id]);
    assert.equal(
      readFileSync(`/proc/${caller.pidOf(id)}/attr/apparmor/current`, 'utf8').trim(),
      'guest (enforce)',
    );
    const look = ['cat', '/proc/self/attr/apparmor/current'];
    assert.equal(caller.must(['exec', id, ...look]).trim(), 'guest (enforce)');
    assert.equal(caller.must(['exec', '--apparmor', 'unconfined', id, ...look]).trim(), 'unconfined');
    assert.equal(
      caller.must(['exec', id, 'sh', '-c', 'touch /tmp/x; touch /data/x 2>/dev/null || echo refused']),
      'refused\n',
    );
    caller.must(['delete', '--force', id]);
  });

  void test('a profile that is not loaded is refused in one sentence, and nothing runs', () => {
    const { id, bundle } = caller.bundle(['cat', '/proc/self/uid_map'], (config) => {
      config.process.apparmorProfile = 'absent';
    });
    const { code, stdout, stderr } = caller.ask(['run', '--bundle', bundle, id]);
    assert.notEqual(code, 0);
    assert.equal(stdout, '');
    assert.match(stderr, /security label exec absent/);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Caller } from './container.js';

const alice = 1000;

void describe('alice, who is not root', () => {
  void test('runs a container with the ids that newuidmap gives her', () => {
    const caller = new Caller({ command: ['gantry-oci'], uid: alice });
    const { id, bundle } = caller.bundle(
      ['sh', '-c', 'touch /tmp/made; chown 7:8 /tmp/made; id -u; cat /proc/self/uid_map'],
      (config) => {
        const maps = [
          { containerID: 0, hostID: alice, size: 1 },
          { containerID: 1, hostID: 100_000, size: 65_536 },
        ];
        Object.assign(config.linux, { uidMappings: maps, gidMappings: maps });
      },
    );
    const [uid, first = '', second = ''] = caller.must(['run', '--bundle', bundle, id]).split('\n');
    assert.equal(uid, '0');
    assert.deepEqual(first.trim().split(/\s+/), ['0', '1000', '1']);
    assert.deepEqual(second.trim().split(/\s+/), ['1', '100000', '65536']);
  });

  void test('is refused ids that are not hers in one sentence', () => {
    const caller = new Caller({ command: ['gantry-oci'], uid: alice });
    const { id, bundle } = caller.bundle(['true'], (config) => {
      Object.assign(config.linux, { uidMappings: [{ containerID: 0, hostID: 0, size: 10 }] });
    });
    const { code, stderr } = caller.ask(['run', '--bundle', bundle, id]);
    assert.notEqual(code, 0);
    assert.match(stderr, /uid_map/);
  });

  void test('without a systemd of her own asked for, has no limits, and says so', () => {
    const caller = new Caller({ command: ['gantry-oci', '--rootless=true'], uid: alice });
    const { id, bundle } = caller.bundle(['true'], (config) => {
      config.linux['resources'] = { pids: { limit: 20 } };
    });
    const { code, stderr } = caller.ask(['run', '--bundle', bundle, id]);
    assert.notEqual(code, 0);
    assert.match(stderr, /pids\.limit cannot be enforced/);
  });
});

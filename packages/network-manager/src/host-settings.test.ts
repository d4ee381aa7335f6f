import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { HostForwarding, type SettingFiles } from './host-settings.js';

interface FakeHost extends SettingFiles {
  readonly values: Map<string, string>;
}

function hostWith(routes: boolean, ...interfaces: string[]): FakeHost {
  const values = new Map([['net/ipv4/ip_forward', routes ? '1' : '0']]);
  for (const name of interfaces) {
    values.set(`net/ipv4/conf/${name}/forwarding`, routes ? '1' : '0');
    values.set(`net/ipv4/conf/${name}/route_localnet`, '0');
  }
  return {
    values,
    read: (path) => values.get(path),
    write: (path, value) => void values.set(path, value),
    interfaces: () => [...values.keys()].flatMap((path) => /conf\/(.+)\/forwarding$/.exec(path)?.[1] ?? []),
  };
}

function withDirectory(use: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-forwarding-'));
  try {
    use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const open = (host: FakeHost, directory: string): HostForwarding =>
  new HostForwarding(host, 'br0', directory, (name) => name.startsWith('gv'));

test('a host that is no router forwards for the bridge alone, and is given back as it was', () => {
  withDirectory((directory) => {
    const host = hostWith(false, 'br0', 'eth0', 'eth1', 'gv1');
    const before = new Map(host.values);
    assert.deepEqual(open(host, directory).apply(), ['eth0', 'eth1']);
    assert.equal(host.values.get('net/ipv4/ip_forward'), '0');
    assert.equal(host.values.get('net/ipv4/conf/gv1/forwarding'), '0');
    assert.equal(host.values.get('net/ipv4/conf/eth0/route_localnet'), '0');
    // A later process knows what the first one changed.
    const later = open(host, directory);
    host.values.set('net/ipv4/conf/eth2/forwarding', '0');
    assert.deepEqual(later.apply(), ['eth0', 'eth1', 'eth2']);
    later.restore();
    for (const name of ['eth0', 'eth1'])
      assert.equal(
        host.values.get(`net/ipv4/conf/${name}/forwarding`),
        before.get(`net/ipv4/conf/${name}/forwarding`),
      );
    assert.deepEqual(readdirSync(directory), []);
  });
});

test('a router by its owner’s will is not held in check, nor changed at the end', () => {
  withDirectory((directory) => {
    const host = hostWith(true, 'br0', 'eth0');
    const forwarding = open(host, directory);
    assert.deepEqual(forwarding.apply(), []);
    forwarding.restore();
    assert.equal(host.values.get('net/ipv4/conf/eth0/forwarding'), '1');
  });
});

test('an owner who switches routing on afterwards is no longer held in check', () => {
  withDirectory((directory) => {
    const host = hostWith(false, 'br0', 'eth0');
    const forwarding = open(host, directory);
    assert.deepEqual(forwarding.apply(), ['eth0']);
    host.values.set('net/ipv4/ip_forward', '1');
    assert.deepEqual(forwarding.apply(), []);
    forwarding.restore();
    assert.equal(host.values.get('net/ipv4/conf/eth0/forwarding'), '1');
  });
});

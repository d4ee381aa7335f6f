import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isGantryError } from '@gantry/protocol';
import { networkManagerConfigSchema, parseSettings, type NetworkManagerConfig } from './config.js';

const defaults = Object.fromEntries(
  Object.entries(networkManagerConfigSchema.properties).map(([key, { default: value }]) => [key, value]),
) as unknown as NetworkManagerConfig;

test('the defaults of the schema are a configuration', () => {
  const settings = parseSettings(defaults);
  assert.equal(settings.bridge, 'gantry0');
  assert.equal(settings.subnet.prefixLength, 16);
  assert.deepEqual(settings.hostPorts, { first: 32768, last: 60999 });
});

test('a value that cannot work is refused with the name of its key', () => {
  for (const [change, key] of [
    [{ subnet: '10.88.0.1/16' }, 'subnet'],
    [{ subnet: '10.88.0.0/31' }, 'subnet'],
    [{ subnet: 'x' }, 'subnet'],
    [{ host_port_range: '60000-50000' }, 'host_port_range'],
    [{ host_port_range: '1-70000' }, 'host_port_range'],
    [{ id_base: 70_000 }, 'id_base'],
    [{ id_base: 0xffff0000, id_ranges: 2 }, 'id_ranges'],
    [{ bridge: 'far-too-long-name' }, 'bridge'],
    [{ bridge: 'a"; flush ruleset' }, 'bridge'],
    [{ run_dir: 'relative' }, 'run_dir'],
    [{ run_dir: '/run/with space' }, 'run_dir'],
  ] as const)
    assert.throws(
      () => parseSettings({ ...defaults, ...change }),
      (error) => isGantryError(error, 'invalid_argument') && error.message.includes(`network_manager.${key}`),
      JSON.stringify(change),
    );
});

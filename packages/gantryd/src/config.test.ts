import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isGantryError } from '@gantry/protocol';
import { parseCommandLine } from './command-line.js';
import { loadConfig, printConfig, type ConfigSources } from './config.js';
import { flagOf, listSettings, nodeConfigSchema } from './config-schema.js';
import { version } from './version.js';

function writeConfig(t: TestContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-gantryd-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'gantry.yaml');
  writeFileSync(file, text);
  return file;
}

const sources = (file: string, more: Partial<ConfigSources> = {}): ConfigSources => ({
  file,
  environment: {},
  flags: new Map(),
  ...more,
});

test('an empty file gives every key its default, and the result cannot be changed', (t) => {
  const config = loadConfig(sources(writeConfig(t, '')));
  assert.equal(config.state_dir, '/var/lib/gantry');
  assert.equal(config.network_manager.bridge, 'gantry0');
  assert.equal(config.metrics.base_port, 9464);
  assert.ok(Object.isFrozen(config.network_manager));
});

test('flags beat environment beat file beat default', (t) => {
  const file = writeConfig(t, 'nats: { port: 1001 }\nnetwork_manager: { bridge: fromfile }\n');
  assert.equal(loadConfig(sources(file)).nats.port, 1001);
  const environment = { GANTRY_NATS_PORT: '1002' };
  assert.equal(loadConfig(sources(file, { environment })).nats.port, 1002);
  const flags = new Map([['--nats.port', '1003']]);
  const config = loadConfig(sources(file, { environment, flags }));
  assert.equal(config.nats.port, 1003);
  assert.equal(config.network_manager.bridge, 'fromfile');
});

const wrong: readonly (readonly [title: string, yaml: string, sentence: RegExp])[] = [
  ['an unknown key', 'speed: fast', /gantry\.yaml: unknown key speed/],
  ['an unknown key of a section', 'nats: { speed: fast }', /gantry\.yaml: unknown key nats\.speed/],
  [
    "a service's path, which is the node's",
    'image_store: { state_dir: /x }',
    /unknown key image_store\.state_dir/,
  ],
  ['a value of the wrong type', 'nats: { port: many }', /gantry\.yaml: nats\.port must be integer/],
  ['a port out of range', 'nats: { port: 70000 }', /nats\.port must be <= 65535/],
  ['a relative directory', 'state_dir: here', /state_dir must be an absolute path/],
  ['a level that is none', 'log_level: loud', /log_level must be one of trace, debug/],
  ['what is not YAML', 'nats: [', /gantry\.yaml is not YAML/],
  ['what is not a map', '- a\n- b', /gantry\.yaml is not a map/],
];
for (const [title, yaml, sentence] of wrong) {
  test(`${title} is refused with the file and the key`, (t) => {
    const file = writeConfig(t, yaml);
    assert.throws(
      () => loadConfig(sources(file)),
      (error) => isGantryError(error, 'invalid_argument') && sentence.test(error.message),
    );
  });
}

test('a wrong value is blamed on the flag or variable that gave it', (t) => {
  const file = writeConfig(t, '');
  const flags = new Map([['--nats.port', 'x']]);
  assert.throws(() => loadConfig(sources(file, { flags })), /--nats\.port must be integer/);
  assert.throws(
    () => loadConfig(sources(file, { environment: { GANTRY_LOG_LEVEL: 'loud' } })),
    /GANTRY_LOG_LEVEL must be/,
  );
});

test('a file that was named must be there', () => {
  assert.throws(() => loadConfig(sources('/no/such/gantry.yaml')), /\/no\/such\/gantry\.yaml cannot be read/);
});

test('what print-config prints is a configuration that means the same', (t) => {
  const config = loadConfig(
    sources(writeConfig(t, 'log_level: debug\nimage_store: { insecure_registries: [a:1] }\n')),
  );
  assert.deepEqual(loadConfig(sources(writeConfig(t, printConfig(config)))), config);
});

test('every setting has a flag of its own and a description', () => {
  const settings = listSettings(nodeConfigSchema);
  assert.equal(new Set(settings.map(flagOf)).size, settings.length);
  for (const setting of settings) assert.ok(setting.schema.description, flagOf(setting));
});

test('the command line takes flags with blank and with =, and refuses what it does not know by name', () => {
  const parsed = parseCommandLine(['--service', 'spawner', '--nats.port=77', '--config', '/c.yaml']);
  assert.deepEqual(parsed, {
    action: 'run',
    service: 'spawner',
    configFile: '/c.yaml',
    keepContainers: false,
    settings: new Map([['--nats.port', '77']]),
  });
  assert.throws(() => parseCommandLine(['--service', 'printer']), /no service printer/);
  assert.throws(() => parseCommandLine(['--colour', 'blue']), /unknown flag --colour/);
  assert.throws(() => parseCommandLine(['--nats.port']), /--nats\.port needs a value/);
});

test('the version is that of the release', () => {
  const manifest = new URL('../../../package.json', import.meta.url);
  assert.equal((JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version, version);
});

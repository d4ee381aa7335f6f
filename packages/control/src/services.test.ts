import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { control } from '@gantry/protocol';
import { deployStack, updateService } from './services.js';
import { makeSpec } from './testing/models.js';
import { makeScriptedReign, type ScriptedReign } from './testing/scripted-reign.js';
import { checkService } from './validate-service.js';

const credential = (registry: string, password: string): control.RegistryCredential => ({
  registry,
  username: 'u',
  password,
});

async function deploy(
  { reign, state }: ScriptedReign,
  credentials: control.RegistryCredential[],
): Promise<string[]> {
  const request = { name: 'shop', services: [makeSpec()], prune: false, credentials };
  await deployStack(reign, { ...request, expectedVersion: undefined });
  return passwordsOf(state);
}

const passwordsOf = ({ stacks }: ScriptedReign['state']): string[] =>
  (stacks.get('shop')?.credentials ?? []).map(({ registry, password }) => `${registry} ${password}`).sort();

test('a stack that is deployed again without credentials keeps its own; those given take the place of the same registry', async () => {
  const made = makeScriptedReign();
  await deploy(made, [credential('docker.io', 'a'), credential('registry.example', 'b')]);
  assert.deepEqual(await deploy(made, []), ['docker.io a', 'registry.example b']);
  assert.deepEqual(await deploy(made, [credential('registry.example', 'c')]), [
    'docker.io a',
    'registry.example c',
  ]);
  assert.deepEqual(await deploy(made, [credential('index.docker.io', 'd')]), [
    'index.docker.io d',
    'registry.example c',
  ]);
});

test('an update of a service keeps the credentials of other registries too', async () => {
  const made = makeScriptedReign();
  await deploy(made, [credential('docker.io', 'a'), credential('registry.example', 'b')]);
  await updateService(made.reign, {
    service: 'shop_web',
    replicas: undefined,
    image: '',
    rollback: false,
    force: false,
    credentials: [credential('registry.example', 'c')],
  });
  assert.deepEqual(passwordsOf(made.state), ['docker.io a', 'registry.example c']);
});

test('a service that is too large for the store is refused with its name and both sizes', () => {
  const specOf = (bytes: number): control.ServiceSpec =>
    makeSpec({ container: { image: 'busybox', labels: { ballast: 'x'.repeat(bytes) } } });
  checkService(specOf(97_000));
  assert.throws(() => checkService(specOf(98_304)), {
    code: 'invalid_argument',
    message: /^service web: what it says takes 98\d{3} bytes, and a service may take 98304 at most$/,
  });
});

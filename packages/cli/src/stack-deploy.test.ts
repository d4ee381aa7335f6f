import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { credentialsFor, registryOf } from './flags/registry-credentials.js';
import { GantryUnderTest, type Finished } from './testing/command-line.js';
import { progressDocument } from './testing/cluster-documents.js';
import { document, failure, ScriptedApi } from './testing/scripted-api.js';

let api: ScriptedApi;
let gantry: GantryUnderTest;
let directory: string;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-test-cli-deploy-'));
  api = await ScriptedApi.start();
  gantry = new GantryUnderTest(api.runDirectory);
});
after(() => {
  api.stop();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  api.asked.length = 0;
  api.script = {
    'GET /v1/stacks': document({ stacks: [{ name: 'shop', version: 3 }] }),
    'PUT /v1/stacks/shop': document({
      created: ['web'],
      updated: ['api'],
      unchanged: ['db'],
      removed: ['old'],
    }),
    'PUT /v1/stacks/fresh': document({ created: ['web'], updated: [], unchanged: [], removed: [] }),
    'GET /v1/stacks/shop/rollout': {
      lines: [{ services: [progressDocument({ running: 3 })], converged: true, failed: '' }],
    },
  };
});

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

interface Deployed {
  readonly services: readonly { readonly name: string; readonly container: { readonly image: string } }[];
  readonly prune: boolean;
  readonly credentials: readonly unknown[];
  readonly expectedVersion: number;
}
const deployed = (): Deployed => api.bodyOf('PUT') as Deployed;

const compose = 'services:\n  web:\n    image: registry.example:5000/shop/web:${TAG:-4}\n';

async function deploy(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const child = gantry.start(['stack', 'deploy', ...words], environment);
  child.stdin.end(compose);
  return child.finished;
}

test('a stack is deployed from files, on the version that was read, and what changed is told', async () => {
  const file = write('compose.yaml', compose);
  const more = write('more.yaml', 'services:\n  api:\n    image: shop/api:1\n');
  const { exitCode, stdout, stderr } = await deploy(['-c', file, '-c', more, '--prune', 'shop'], {
    TAG: '5',
  });
  assert.equal(exitCode, 0, stderr);
  assert.equal(
    stdout,
    'Created service shop_web\nUpdated service shop_api\nUnchanged service shop_db\nRemoved service shop_old\n',
  );
  const { services, prune, credentials, expectedVersion } = deployed();
  assert.deepEqual(
    services.map(({ name, container }) => [name, container.image]),
    [
      ['api', 'shop/api:1'],
      ['web', 'registry.example:5000/shop/web:5'],
    ],
  );
  assert.deepEqual([prune, credentials, expectedVersion], [true, [], 3]);
  assert.equal(
    api.asked.some(({ line }) => line.includes('rollout')),
    false,
  );
});

test('a file may come on standard input, and a new stack has version 0', async () => {
  const { exitCode, stderr } = await deploy(['-c', '-', 'fresh']);
  assert.equal(exitCode, 0, stderr);
  assert.equal(deployed().expectedVersion, 0);
  assert.match((await deploy(['-c', '-', '-c', '-', 'fresh'])).stderr, /once only/);
});

test('with --detach=false the roll-out is shown until it has ended', async () => {
  const file = write('compose.yaml', compose);
  const { exitCode, stdout } = await deploy(['-c', file, '--detach=false', 'shop']);
  assert.equal(exitCode, 0);
  assert.match(stdout, /Removed service shop_old\nshop_web: 3\/3 running, running\n$/);
});

test('every problem of the files is told with its place, and nothing is sent', async () => {
  const file = write('bad.yaml', 'services:\n  web:\n    imagee: x\n    replica: 3\n  db: {}\n');
  const { exitCode, stdout, stderr } = await deploy(['-c', file, 'shop']);
  assert.deepEqual([exitCode, stdout], [1, '']);
  assert.match(stderr, /bad\.yaml:3:5: services\.web\.imagee/);
  assert.match(stderr, /bad\.yaml:4:5: services\.web\.replica/);
  assert.match(stderr, /bad\.yaml:5:\d+: services\.db/);
  assert.equal(api.asked.length, 0);
});

test('no file, a file that is not there, and a deploy at the same time are a sentence each', async () => {
  assert.match((await deploy(['shop'])).stderr, /give a compose file with -c FILE/);
  assert.match((await deploy(['-c', '/nowhere.yaml', 'shop'])).stderr, /\/nowhere\.yaml cannot be read/);
  const file = write('compose.yaml', compose);
  api.script = {
    ...api.script,
    'PUT /v1/stacks/shop': failure(409, 'failed_precondition', 'stack shop was changed meanwhile'),
  };
  const { exitCode, stderr } = await deploy(['-c', file, 'shop']);
  assert.deepEqual([exitCode, stderr], [1, 'gantry stack: stack shop was changed meanwhile\n']);
});

test('a removed stack names its services', async () => {
  api.script = { 'DELETE /v1/stacks/shop': document({ services: ['db', 'web'] }) };
  assert.equal(
    (await gantry.run(['stack', 'rm', 'shop'])).stdout,
    'Removing service shop_db\nRemoving service shop_web\n',
  );
});

test("credentials of the images' registries go with the deploy, and no others", async () => {
  mkdirSync(join(directory, '.docker'), { recursive: true });
  const auth = (text: string): { auth: string } => ({ auth: Buffer.from(text).toString('base64') });
  write(
    '.docker/config.json',
    JSON.stringify({
      auths: { 'registry.example:5000': auth('ann:pass:word'), 'other.example': auth('x:y') },
    }),
  );
  const file = write('compose.yaml', compose);
  const { exitCode, stderr } = await deploy(['-c', file, '--with-registry-auth', 'shop'], {
    HOME: directory,
  });
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual(deployed().credentials, [
    { registry: 'registry.example:5000', username: 'ann', password: 'pass:word' },
  ]);
  const nowhere = await deploy(['-c', file, '--with-registry-auth', 'shop'], { HOME: '/nowhere' });
  assert.match(nowhere.stderr, /--with-registry-auth: \/nowhere\/\.docker\/config\.json cannot be read/);
});

test('credentials come from helper programs where docker has them so', async () => {
  const helper = write(
    'docker-credential-test',
    '#!/bin/sh\nread -r server\ncase "$server" in\n  https://index.docker.io/v1/) echo \'{"Username":"bob","Secret":"hub"}\';;\n  known.example) echo \'{"Username":"cy","Secret":"s"}\';;\n  *) exit 1;;\nesac\n',
  );
  chmodSync(helper, 0o755);
  const config = mkdtempSync(join(directory, 'config-'));
  const path = process.env['PATH'] ?? '';
  process.env['PATH'] = `${directory}:${path}`;
  const ask = (document_: unknown, ...images: string[]): ReturnType<typeof credentialsFor> => {
    writeFileSync(join(config, 'config.json'), JSON.stringify(document_));
    return credentialsFor(images, { DOCKER_CONFIG: config });
  };
  try {
    assert.deepEqual(await ask({ credsStore: 'test' }, 'busybox', 'known.example/a', 'unknown.example/b'), [
      { registry: 'docker.io', username: 'bob', password: 'hub' },
      { registry: 'known.example', username: 'cy', password: 's' },
    ]);
    assert.deepEqual(await ask({ credHelpers: { 'known.example': 'test' } }, 'known.example/a', 'busybox'), [
      { registry: 'known.example', username: 'cy', password: 's' },
    ]);
    await assert.rejects(
      ask({ credsStore: 'absent' }, 'busybox'),
      /docker-credential-absent cannot be run: there is no such file/,
    );
    await assert.rejects(ask({ auths: { 'a.example': { auth: 'bm9jb2xvbg==' } } }, 'a.example/x'), /no user/);
  } finally {
    process.env['PATH'] = path;
  }
});

test('the registry of an image is found as docker does', () => {
  for (const [image, registry] of [
    ['busybox', 'docker.io'],
    ['library/busybox:1', 'docker.io'],
    ['docker.io/library/busybox', 'docker.io'],
    ['index.docker.io/library/busybox', 'docker.io'],
    ['localhost/x', 'localhost'],
    ['localhost:5000/x', 'localhost:5000'],
    ['registry.example/a/b@sha256:00', 'registry.example'],
  ] as const)
    assert.equal(registryOf(image), registry);
});

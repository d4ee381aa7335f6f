import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { writeLayout } from '@gantry/demo';
import { boxImage, describeOnCluster, eventually, testImage, type TestCluster } from '@gantry/test-harness';
import { sleeper, spreadOf } from './observe.js';

const credentials = 'robot:a-secret-that-nobody-guesses';
/** bcrypt of the password: all that docker-registry takes. */
const passwordLine = 'robot:$2y$05$uPkQ9yJ6bZ3mXo1TfRk1eOvrJu/lb6kXwtj.ronN.kRcoKOFQCYw6\n';

/** Debian's docker-registry on the switch, for those who know the password. */
async function startRegistry(cluster: TestCluster): Promise<ChildProcess> {
  const { namespace, gateway } = cluster.network;
  const directory = join(cluster.directory, 'registry');
  mkdirSync(directory);
  const passwords = join(cluster.directory, 'htpasswd');
  writeFileSync(passwords, passwordLine);
  const config = join(cluster.directory, 'registry.yml');
  writeFileSync(
    config,
    JSON.stringify({
      version: 0.1,
      log: { level: 'error' },
      storage: { filesystem: { rootdirectory: directory } },
      http: { addr: `${gateway}:5000` },
      auth: { htpasswd: { realm: 'test', path: passwords } },
    }),
  );
  const registry = spawn(...mutable(namespace.wrap('docker-registry', ['serve', config])), {
    stdio: 'ignore',
  });
  const layout = join(cluster.directory, 'layout');
  writeLayout(layout, [boxImage()]);
  await eventually('the registry takes the image', async () => {
    await namespace.mustRun('skopeo', [
      ...['copy', '--dest-tls-verify=false', '--dest-creds', credentials],
      ...[`oci:${layout}:${testImage}`, `docker://${gateway}:5000/team/box:1`],
    ]);
    return true;
  });
  return registry;
}

const mutable = ([program, words]: readonly [string, readonly string[]]): [string, string[]] => [
  program,
  [...words],
];

describeOnCluster(
  'images that nodes pull',
  ['worker', 'worker'],
  (getCluster) => {
    let registry: ChildProcess | undefined;
    before(async () => {
      registry = await startRegistry(getCluster());
    });
    after(() => registry?.kill('SIGKILL'));

    const file = (): string =>
      sleeper('app', 3).replace(testImage, `${getCluster().network.gateway}:5000/team/box:1`);

    test('without credentials each node is refused by the registry, and the deploy says so', async () => {
      const cluster = getCluster();
      const path = cluster.writeFile('anonymous.yaml', file());
      await cluster.must('stack', 'deploy', '-c', path, 'anonymous');
      await eventually('the tasks are explained', async () => {
        const text = await cluster.must('service', 'ps', '--no-trunc', 'anonymous_app');
        return /refuses image .*needs a user name and password/.test(text);
      });
    });

    test('every node pulls with the credentials that the deploy carries, and no answer shows them', async () => {
      const cluster = getCluster();
      const home = join(cluster.directory, 'home');
      mkdirSync(join(home, '.docker'), { recursive: true });
      writeFileSync(
        join(home, '.docker/config.json'),
        JSON.stringify({
          auths: {
            [`${cluster.network.gateway}:5000`]: { auth: Buffer.from(credentials).toString('base64') },
          },
        }),
      );
      const path = cluster.writeFile('private.yaml', file());
      const words = ['stack', 'deploy', '-c', path, '--with-registry-auth', '--detach=false', 'private'];
      const { code, stderr } = await cluster.gantry(words, { environment: { HOME: home } });
      assert.equal(code, 0, stderr);
      assert.deepEqual(await spreadOf(cluster, 'private'), [1, 1, 1]);
      for (const path of ['/v1/stacks', '/v1/services/private_app', '/v1/stacks/private/tasks'])
        assert.doesNotMatch(JSON.stringify(await cluster.get(path)), /a-secret-that-nobody-guesses/);
      for (const host of cluster.hosts)
        await host.must('rmi', '-f', `${cluster.network.gateway}:5000/team/box:1`).catch(() => undefined);
    });
  },
  { images: [], config: { image_store: { insecure_registries: ['198.18.0.1:5000'] } } },
);

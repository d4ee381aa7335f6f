import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { control } from '@gantry/protocol';
import { describeOnCluster, eventually, testImage } from '@gantry/test-harness';
import { holds, onlyOn, sleeper, spreadOf, untilRunning } from './observe.js';

/** Nobody listens there: refused at once, whatever resolvers the machine has. */
const absentImage = '127.0.0.1:5999/absent:1';
const deployFlags = ['stack', 'deploy', '--detach=false'];

describeOnCluster('stacks on three hosts', ['worker', 'worker'], (getCluster) => {
  test('six replicas with a constraint are spread evenly over the nodes that fit, and none runs elsewhere', async () => {
    const cluster = getCluster();
    for (const host of ['host2', 'host3'])
      await cluster.must('node', 'update', host, '--label-add', 'disk=ssd');
    const output = await cluster.deploy('spread', sleeper('web', 6, onlyOn('node.labels.disk == ssd')));
    assert.match(output, /spread_web/);
    assert.deepEqual(await spreadOf(cluster, 'spread'), [0, 3, 3]);
    const containers = await cluster.listTaskContainers();
    assert.deepEqual(containers.map(({ host }) => host).sort(), [1, 1, 1, 2, 2, 2]);
    assert.match(await cluster.must('stack', 'ls'), /spread +1 +6\/6|spread/);
    assert.match(await cluster.must('stack', 'services', 'spread'), /spread_web.*6\/6/);
    assert.equal((await cluster.must('service', 'ps', 'spread_web')).match(/host[23]/g)?.length, 6);
  });

  test('a service of the mode global has one task on every node', async () => {
    const cluster = getCluster();
    await cluster.deploy('everywhere', global('agent'));
    assert.deepEqual(await spreadOf(cluster, 'everywhere'), [1, 1, 1]);
  });

  test('services of a stack find each other by name on a node, and a published port answers from outside', async () => {
    const cluster = getCluster();
    await cluster.deploy('site', siteFile('host2'));
    const page = await cluster.network.namespace.fetch(`http://${cluster.addressOf(1)}:8080/`);
    assert.match(page, /page of the test image/);
    const client = (await cluster.listTaskContainers()).find(({ name }) => name.startsWith('site_client'));
    assert.ok(client);
    for (const name of ['web', 'front'])
      assert.match(
        await cluster.host(1).must('exec', client.id, 'wget', '-q', '-O', '-', `http://${name}/`),
        /page of the test image/,
      );
    const { stdout } = await cluster.gantry(['stack', 'logs', 'site']);
    assert.match(stdout, /client says hello/);
  });

  test('files of variables, volumes and limits are what the compose file says', async () => {
    const cluster = getCluster();
    cluster.writeFile('settings.env', '# settings\nFROM_FILE="a value"\nOVERRIDDEN=file\n');
    await cluster.deploy('settings', settingsFile);
    const [container] = await cluster.listTaskContainers();
    assert.ok(container);
    const host = cluster.host(container.host);
    const run = (script: string): Promise<string> => host.must('exec', container.id, 'sh', '-c', script);
    assert.equal(await run('echo "$FROM_FILE/$OVERRIDDEN"; id -u; pwd'), 'a value/here\n1000\n/data');
    await host.must('exec', '--user', '0', container.id, 'sh', '-c', 'echo kept > /kept/file');
    const facts = await host.inspect(container.id);
    assert.ok(
      facts.Mounts.some(({ Destination, Name }) => Destination === '/kept' && Name === 'settings_kept'),
    );
    await cluster.must('service', 'update', '--force', 'settings_app');
    const next = await eventually('another container has taken the volume', async () =>
      (await cluster.listTaskContainers()).find(
        ({ id, state }) => id !== container.id && state === 'running',
      ),
    );
    assert.equal(await cluster.host(next.host).must('exec', next.id, 'cat', '/kept/file'), 'kept');
  });

  test('scaling adds and removes tasks and leaves the others alone', async () => {
    const cluster = getCluster();
    await cluster.deploy('scaled', sleeper('app', 2));
    const before = new Set((await cluster.runningTasks('scaled')).map(({ id }) => id));
    await cluster.must('service', 'scale', 'scaled_app=5');
    const five = await untilRunning(cluster, 'scaled', 5);
    assert.equal(five.filter(({ id }) => before.has(id)).length, 2);
    assert.deepEqual((await spreadOf(cluster, 'scaled')).sort(), [1, 2, 2]);
    await cluster.must('service', 'scale', 'scaled_app=1');
    await untilRunning(cluster, 'scaled', 1);
    await eventually('one container is left', async () => (await cluster.listTaskContainers()).length === 1);
  });

  test('draining moves the tasks of a node and nothing comes back until it is active again', async () => {
    const cluster = getCluster();
    await cluster.deploy('moved', sleeper('app', 6));
    assert.deepEqual(await spreadOf(cluster, 'moved'), [2, 2, 2]);
    await cluster.must('node', 'drain', 'host3');
    try {
      await eventually('the tasks have moved', async () => {
        const spread = await spreadOf(cluster, 'moved');
        return spread[2] === 0 && spread[0] === 3 && spread[1] === 3;
      });
      await eventually('no container is left on the drained host', async () =>
        (await cluster.listTaskContainers()).every(({ host }) => host !== 2),
      );
    } finally {
      await cluster.must('node', 'activate', 'host3');
    }
    await cluster.must('service', 'scale', 'moved_app=9');
    await eventually(
      'the node takes new tasks',
      async () => ((await spreadOf(cluster, 'moved'))[2] ?? 0) > 0,
    );
  });

  test('an update waits for the health of each new task and never has fewer running than its parallelism allows', async () => {
    const cluster = getCluster();
    await cluster.deploy('rolling', healthFile('one'));
    const old = new Set((await cluster.runningTasks('rolling')).map(({ id }) => id));
    const update = cluster.deploy('rolling', healthFile('two'));
    let fewest = Infinity;
    let most = 0;
    let done = false;
    void update.then(
      () => (done = true),
      () => (done = true),
    );
    while (!done) {
      const running = (await cluster.runningTasks('rolling')).length;
      fewest = Math.min(fewest, running);
      most = Math.max(most, running);
      await sleep(50);
    }
    await update;
    assert.ok(fewest >= 2, `only ${fewest} of 3 ran during the update`);
    assert.ok(most <= 3, `${most} ran during an update that stops first`);
    const now = await cluster.runningTasks('rolling');
    assert.equal(now.length, 3);
    assert.ok(now.every(({ id, status }) => !old.has(id) && status?.health === 'healthy'));
  });

  test('an update to an image that cannot be had pauses with the reason, and rolls back when told', async () => {
    const cluster = getCluster();
    await cluster.deploy('paused', sleeper('app', 3, updateConfig('pause')));
    const before = (await cluster.runningTasks('paused')).map(({ id }) => id);
    await cluster.must('service', 'update', '--image', absentImage, 'paused_app');
    const progress = await untilUpdate(cluster, 'paused_app', 'paused');
    assert.match(JSON.stringify(progress), /127\.0\.0\.1:5999/);
    const kept = (await cluster.runningTasks('paused')).filter(({ id }) => before.includes(id));
    assert.equal(kept.length, 2);
    await cluster.must('service', 'update', '--rollback', 'paused_app');
    const tasks = await untilRunning(cluster, 'paused', 3);
    assert.ok(tasks.every(({ spec }) => spec?.container?.image === testImage));
    assert.ok(
      kept.every(({ id }) => tasks.some((task) => task.id === id)),
      'a task of the old image was made anew',
    );
  });

  test('an update whose tasks end at once is rolled back by itself where the file says so', async () => {
    const cluster = getCluster();
    const content = sleeper('app', 2, updateConfig('rollback'));
    await cluster.deploy('back', content);
    const broken = cluster.writeFile('broken.yaml', content.replace('"polite"', '"exit", "3"'));
    const { code, stderr, stdout } = await cluster.gantry([...deployFlags, '-c', broken, 'back']);
    assert.notEqual(code, 0, stdout);
    assert.match(stdout + stderr, /rolled back|rolling back/i);
    await untilUpdate(cluster, 'back_app', 'rolled_back');
    const tasks = await untilRunning(cluster, 'back', 2);
    assert.ok(tasks.every(({ spec }) => spec?.container?.command.at(-1) === 'polite'));
  });

  test('a task that ends by itself is started again as its restart policy says, and reported', async () => {
    const cluster = getCluster();
    await cluster.deploy('again', sleeper('app', 1));
    const [container] = await cluster.listTaskContainers();
    assert.ok(container);
    const { State } = await cluster.host(container.host).inspect(container.id);
    process.kill(State.Pid, 'SIGKILL');
    await eventually('it runs again', async () => {
      const [task] = await cluster.runningTasks('again');
      const [now] = (await cluster.listTaskContainers()).filter(({ state }) => state === 'running');
      return (
        task !== undefined &&
        now !== undefined &&
        (await cluster.host(now.host).inspect(now.id)).State.Pid !== State.Pid
      );
    });
  });

  test('a constraint that no node fits is explained, filter by filter', async () => {
    const cluster = getCluster();
    const file = cluster.writeFile('nowhere.yaml', sleeper('app', 1, onlyOn('node.labels.moon == full')));
    await cluster.must('stack', 'deploy', '-c', file, 'nowhere');
    const listing = await eventually('the task is explained', async () => {
      const text = await cluster.must('service', 'ps', '--no-trunc', 'nowhere_app');
      return text.includes('no node fits') && text;
    });
    assert.match(listing, /no node fits: 3 of 3 .*node\.labels\.moon == full/);
    await cluster.must('node', 'update', 'host2', '--label-add', 'moon=full');
    await untilRunning(cluster, 'nowhere', 1);
    await cluster.must('node', 'update', 'host2', '--label-rm', 'moon');
  });

  test('more memory than any node has is explained', async () => {
    const cluster = getCluster();
    const file = cluster.writeFile(
      'large.yaml',
      sleeper('app', 1, ['  resources:', '    reservations:', '      memory: 900G']),
    );
    await cluster.must('stack', 'deploy', '-c', file, 'large');
    await eventually('the task is explained', async () =>
      /no node fits: 3 of 3 .*memory/.test(await cluster.must('service', 'ps', '--no-trunc', 'large_app')),
    );
  });

  test('a published port that a local container has on the only node that fits is explained', async () => {
    const cluster = getCluster();
    const local = cluster.host(1);
    await local.must('run', '-d', '--name', 'holder', '-p', '8081:80', testImage, 'payload', 'polite');
    try {
      const content = sleeper('app', 1, onlyOn('node.hostname == host2')).replace(
        '    stop_grace_period',
        '    ports: ["8081:80"]\n    stop_grace_period',
      );
      const file = cluster.writeFile('port.yaml', content);
      await cluster.must('stack', 'deploy', '-c', file, 'port');
      await eventually('the task is explained', async () =>
        /no node fits: .*8081/.test(await cluster.must('service', 'ps', '--no-trunc', 'port_app')),
      );
    } finally {
      await local.must('rm', '-f', 'holder');
    }
    await untilRunning(cluster, 'port', 1);
  });

  test('of two deploys of one stack at once one is refused, and what stands is one of the two', async () => {
    const cluster = getCluster();
    await cluster.deploy('twice', sleeper('app', 1));
    const { stacks } = await cluster.get<control.ListStacksResponse>('/v1/stacks');
    const version = Number(stacks[0]?.version);
    const [task] = await cluster.listTasks('twice');
    const put = (replicas: number): Promise<{ status: number; body: unknown }> =>
      cluster.host(0).api('PUT', '/v1/stacks/twice', {
        services: [{ ...task?.spec, replicas }],
        expectedVersion: version,
      });
    const answers = await Promise.all([put(2), put(3)]);
    const refused = answers.filter(({ status }) => status !== 200);
    assert.equal(refused.length, 1, JSON.stringify(answers));
    assert.match(JSON.stringify(refused[0]?.body), /stack twice.*(version|changed|deploy)/);
    const replicas = answers[0]?.status === 200 ? 2 : 3;
    await untilRunning(cluster, 'twice', replicas);
  });

  test('a typing error is one error that names file, line and key, and nothing is deployed', async () => {
    const cluster = getCluster();
    const file = cluster.writeFile('typo.yaml', sleeper('app', 1, ['  replica: 3']));
    const line = 1 + sleeper('app', 1).split('\n').length - 1;
    const { code, stderr } = await cluster.gantry([...deployFlags, '-c', file, 'typo']);
    assert.notEqual(code, 0);
    assert.match(stderr, new RegExp(`typo\\.yaml:${line}(:\\d+)?: .*replica`));
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
    assert.doesNotMatch(await cluster.must('stack', 'ls'), /typo/);
  });

  test('a service taken out of the file is removed with --prune and kept without', async () => {
    const cluster = getCluster();
    const two = sleeper('one', 1) + sleeper('two', 1).replace('services:\n', '');
    await cluster.deploy('pruned', two);
    await cluster.deploy('pruned', sleeper('one', 1));
    assert.match(await cluster.must('stack', 'services', 'pruned'), /pruned_two/);
    await cluster.deploy('pruned', sleeper('one', 1), '--prune');
    await eventually(
      'the service is gone',
      async () => !(await cluster.must('stack', 'services', 'pruned')).includes('pruned_two'),
    );
    await holds(300, async () => assert.equal((await cluster.runningTasks('pruned')).length, 1));
  });
});

const updateConfig = (failureAction: string): string[] => [
  '  update_config:',
  '    parallelism: 1',
  '    monitor: 1s',
  `    failure_action: ${failureAction}`,
  '  restart_policy:',
  '    condition: none',
];

const global = (service: string): string => sleeper(service, 1).replace('replicas: 1', 'mode: global');

const siteFile = (hostname: string): string => `services:
  web:
    image: ${testImage}
    command: ["httpd", "-f", "-p", "80", "-h", "/www"]
    ports: ["8080:80"]
    stop_grace_period: 1s
    networks:
      default:
        aliases: [front]
    deploy:
      placement:
        constraints: ["node.hostname == ${hostname}"]
  client:
    image: ${testImage}
    command: ["sh", "-c", "echo client says hello; exec payload polite"]
    deploy:
      placement:
        constraints: ["node.hostname == ${hostname}"]
networks:
  default: {}
`;

const settingsFile = `services:
  app:
    image: ${testImage}
    command: ["payload", "polite"]
    env_file: settings.env
    environment:
      OVERRIDDEN: here
    user: "1000"
    working_dir: /data
    volumes: ["kept:/kept"]
    deploy:
      placement:
        constraints: ["node.hostname == host3"]
      resources:
        limits:
          memory: 64M
          cpus: "0.5"
volumes:
  kept: {}
`;

/** Each task needs a second until it is healthy. */
const healthFile = (version: string): string => `services:
  app:
    image: ${testImage}
    command: ["sh", "-c", "sleep 1; touch /tmp/fit; exec payload polite"]
    environment:
      VERSION: ${version}
    healthcheck:
      test: ["CMD", "test", "-e", "/tmp/fit"]
      interval: 200ms
      timeout: 2s
      retries: 20
      start_period: 5s
    deploy:
      replicas: 3
      update_config:
        parallelism: 1
        monitor: 500ms
`;

async function untilUpdate(
  cluster: Parameters<typeof untilRunning>[0],
  service: string,
  state: string,
): Promise<control.InspectServiceResponse> {
  return eventually(
    `the update of ${service} is ${state}`,
    async () => {
      const answer = await cluster.get<control.InspectServiceResponse>(`/v1/services/${service}`);
      return answer.service?.updateStatus?.state === state && answer;
    },
    30_000,
  );
}

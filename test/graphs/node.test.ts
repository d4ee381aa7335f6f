// A real Prometheus on one node that is in no cluster: it reads the services' own ports on loopback.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  TestPrometheus,
  describeOnNode,
  eventually,
  findEmptyPanels,
  needsCluster,
  readPanelQueries,
  staticConfiguration,
  testImage,
  type TestNode,
} from '@gantry/test-harness';
import { queriesOfContainers, queriesOfDisks, queriesOfTheMachine } from './cadvisor-queries.js';

/** "127.0.0.1:9464" by the service's name. */
async function metricsAddresses(node: TestNode): Promise<ReadonlyMap<string, string>> {
  const { services } = JSON.parse(await node.must('info', '--format', 'json')) as {
    services: { name: string; metricsUrl: string }[];
  };
  return new Map(
    services.map(({ name, metricsUrl }) => [name.replace(/^gantry-/, ''), new URL(metricsUrl).host]),
  );
}

const run = (node: TestNode, name: string, script: string, ...flags: string[]): Promise<string> =>
  node.must('run', '-d', '--name', name, ...flags, testImage, 'sh', '-c', script);

/** Whether the kernel has figures of block devices for a container; a v1 hierarchy of Linux 6.10 or later has none. */
function kernelCountsDisks(node: TestNode, id: string): boolean {
  const files = `**/${node.cgroupRoot}/**/${id}/{blkio.throttle.io_service_bytes_recursive,io.stat}`;
  return globSync(files, { cwd: '/sys/fs/cgroup' }).some((file) =>
    /^\d+:\d+ /m.test(readFileSync(join('/sys/fs/cgroup', file), 'utf8')),
  );
}

describeOnNode(
  'graphs of one node',
  (getNode) => {
    let prometheus: TestPrometheus;
    let services: readonly string[];

    before(async () => {
      const node = getNode();
      const addresses = await metricsAddresses(node);
      services = [...addresses.keys()];
      prometheus = await TestPrometheus.start({
        directory: `${node.directory}-prometheus`,
        network: node.network,
        configuration: staticConfiguration(
          [...addresses].map(([service, address]) => ({
            address,
            labels: { node: 'one', hostname: 'one', service, role: 'worker' },
          })),
        ),
      });
      await prometheus.untilTargetsUp(services.map((service) => `one/${service}`));
    });
    after(() => prometheus.stop());

    test('every query of every dashboard that needs no cluster returns data', async () => {
      const node = getNode();
      await run(node, 'web', 'httpd -f -h /www', '--memory', '64m', '--cpus', '0.5', '-p', '18080:80');
      await run(
        node,
        'busy',
        'while :; do wget -qO /dev/null http://web/; done',
        ...['--cpus', '0.2', '--memory', '32m'],
      );
      const queries = readPanelQueries().filter((query) => !needsCluster(query));
      assert.ok(queries.length > 60, `${queries.length} queries`);
      await eventually(
        'every panel shows something',
        async () => {
          // Histograms need something to measure while Prometheus looks.
          await node.must('run', '--rm', testImage, 'true');
          const empty = await findEmptyPanels(prometheus, queries);
          if (empty.length > 0) throw new Error(`panels without data:\n${empty.join('\n')}`);
          return true;
        },
        40_000,
      );
    });

    test("a dashboard made for cAdvisor finds everything it asks for, under the containers' names", async () => {
      const node = getNode();
      const write = 'dd if=/dev/zero of=/data/file bs=64k count=8 conv=fsync';
      await run(node, 'web', `${write}; httpd -f -h /www`, '--memory', '64m', '--cpus', '0.5');
      await run(
        node,
        'db',
        `${write}; while :; do wget -qO /dev/null http://web/; done`,
        '--memory',
        '32m',
        '--cpus',
        '0.3',
      );
      const disks = kernelCountsDisks(node, (await node.inspect('web')).Id);
      const queries = [...queriesOfContainers, ...queriesOfTheMachine, ...(disks ? queriesOfDisks : [])];
      await eventually(
        'every query has an answer for each container',
        async () => {
          const answers = await prometheus.query(queries);
          for (const [index, answer] of answers.entries()) {
            const values = answer.filter(({ value }) => Number.isFinite(value));
            assert.ok(values.length > 0, `no data for ${queries[index]}`);
            const names = values.flatMap(({ metric }) => metric['name'] ?? []);
            for (const name of ['web', 'db'])
              assert.ok(
                names.length === 0 || names.includes(name),
                `${name} is missing in ${queries[index]}`,
              );
          }
          return true;
        },
        20_000,
      );
      const [traffic, cpu, limits] = await prometheus.query([
        'container_network_transmit_bytes_total{name="web",interface="eth0"}',
        'container_cpu_usage_seconds_total{name="db"}',
        'container_spec_memory_limit_bytes{name="web"}',
      ]);
      assert.ok((traffic?.[0]?.value ?? 0) > 1000, 'the web server sent nothing');
      assert.ok((cpu?.[0]?.value ?? 0) > 0.1, 'the client used no CPU');
      assert.equal(limits?.[0]?.value, 64 * 1024 * 1024);
      assert.match(limits[0].metric['id'] ?? '', new RegExp(`^/${node.cgroupRoot}/`));
      assert.equal(limits[0].metric['image'], testImage);
    });

    test('what goes wrong with containers raises its alert', async () => {
      const node = getNode();
      await run(node, 'grows', 'x=0123456789; while :; do x=$x$x; done', '--memory', '16m');
      await run(node, 'restarts', 'exit 1', '--restart', 'always');
      await run(node, 'throttled', 'while :; do :; done', '--cpus', '0.05');
      await run(
        node,
        'ill',
        'sleep 1000',
        '--health-cmd',
        'false',
        '--health-interval',
        '200ms',
        '--health-retries',
        '1',
      );
      await run(
        node,
        'crowded',
        'for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait',
        '--pids-limit',
        '10',
      );
      const failToPull = async (): Promise<void> => {
        const { code } = await node.gantry(['pull', '127.0.0.1:1/nobody/nothing:1']);
        assert.notEqual(code, 0);
      };
      // What a series counted before it was first read is no increase: the others come after that.
      await failToPull();
      await eventually('the first failure is read', async () => {
        const [failures = []] = await prometheus.query([
          'gantry_image_store_fetch_duration_seconds_count{operation="pull",result!="ok"}',
        ]);
        return failures.length > 0;
      });
      for (let count = 0; count < 3; count += 1) await failToPull();
      await prometheus.untilFiring('GantryContainerOomKilled', { hostname: 'one' });
      const looping = await prometheus.untilFiring('GantryContainerRestartLoop', { name: 'restarts' });
      assert.match(
        looping.annotations['summary'] ?? '',
        /^Container restarts on one was restarted \d+ times/,
      );
      await prometheus.untilFiring('GantryContainerCpuThrottled', { name: 'throttled' });
      await prometheus.untilFiring('GantryContainerUnhealthy', { name: 'ill' });
      await prometheus.untilFiring('GantryContainerNearTaskLimit', { name: 'crowded' });
      await prometheus.untilFiring('GantryImagePullsFail', { hostname: 'one' });
    });

    test('a service that is gone raises an alert, which ends when it is back', async () => {
      const node = getNode();
      await node.kill('image-store');
      await prometheus.untilFiring('GantryTargetDown', { instance: 'one/image-store' });
      node.launch('image-store');
      await node.waitUntilReady('image-store');
      await eventually('the alert ends', async () =>
        (await prometheus.alerts()).every(({ labels }) => labels['alertname'] !== 'GantryTargetDown'),
      );
    });
  },
  { modes: ['separate'] },
);

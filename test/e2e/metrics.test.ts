import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  describeOnNode,
  eventually,
  runCommand,
  separateProcesses,
  testImage,
  type TestNode,
} from '@gantry/test-harness';

async function metricsAddresses(node: TestNode): Promise<ReadonlyMap<string, string>> {
  const info = JSON.parse(await node.must('info', '--format', 'json')) as Record<string, unknown>;
  const services = (info['services'] ?? info['Services']) as readonly Record<string, string>[];
  return new Map(
    services.map((service) => [
      (service['name'] ?? service['Name'] ?? '').replace(/^gantry-/, ''),
      service['metrics_url'] ?? service['metricsUrl'] ?? service['MetricsUrl'] ?? service['metrics'] ?? '',
    ]),
  );
}

describeOnNode('metrics', (getNode) => {
  test('info lists every service with its metrics address, and promtool finds nothing to complain of', async () => {
    const node = getNode();
    await node.must('run', '-d', '--name', 'measured', '--memory', '64m', testImage, 'sleep', '1000');
    const addresses = await metricsAddresses(node);
    for (const name of separateProcesses.filter((one) => one !== 'nats')) {
      const url = addresses.get(name);
      assert.ok(url, `${name} is not listed`);
      const text = await node.network.fetch(`${url.replace(/\/metrics$/, '')}/metrics`);
      assert.match(text, /^# HELP /m);
      const { code, stdout, stderr } = await runCommand('promtool', ['check', 'metrics'], { input: text });
      assert.equal(code, 0, `${name}: ${stdout}${stderr}`);
      assert.equal(stdout + stderr, '', `${name}: ${stdout}${stderr}`);
    }
  });

  test('every service says on /healthz that it is well', async () => {
    for (const [name, url] of await metricsAddresses(getNode())) {
      assert.ok(await getNode().network.fetch(`${url.replace(/\/metrics$/, '')}/healthz`), name);
    }
  });

  test("containers are measured under cAdvisor's names, with name and image", async () => {
    const node = getNode();
    await node.must(
      'run',
      '-d',
      '--name',
      'measured',
      '--memory',
      '64m',
      testImage,
      'sh',
      '-c',
      'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 1000',
    );
    const all = await eventually('the container is measured', async () => {
      const texts = await Promise.all(
        [...(await metricsAddresses(node)).values()].map((url) =>
          node.network.fetch(`${url.replace(/\/metrics$/, '')}/metrics`),
        ),
      );
      const text = texts.join('\n');
      return /container_cpu_usage_seconds_total\{[^}]*name="measured"/.test(text) && text;
    });
    for (const name of [
      'container_memory_working_set_bytes',
      'container_spec_memory_limit_bytes',
      'container_memory_usage_bytes',
    ]) {
      assert.match(all, new RegExp(`${name}\\{[^}]*name="measured"`), name);
    }
    assert.match(all, /container_spec_memory_limit_bytes\{[^}]*name="measured"[^}]*\} 67108864/);
  });
});

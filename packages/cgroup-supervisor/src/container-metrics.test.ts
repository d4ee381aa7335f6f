import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { cgroup } from '@gantry/protocol';
import {
  containerFamilies,
  escapeLabel,
  renderContainers,
  type ContainerSample,
} from './container-metrics.js';

const usage: cgroup.Usage = {
  containerId: 'a'.repeat(64),
  timeUnixNanos: 1.7e18,
  cpuUsageNs: 1.5e9,
  cpuUserNs: 1e9,
  cpuSystemNs: 5e8,
  cpuPeriods: 1,
  cpuThrottledPeriods: 2,
  cpuThrottledNs: 3,
  memoryUsageBytes: 1000,
  memoryWorkingSetBytes: 750,
  memoryRssBytes: 600,
  memoryCacheBytes: 300,
  memorySwapBytes: 0,
  memoryPeakBytes: 2000,
  memoryLimitBytes: 4096,
  memoryFailcnt: 3,
  oomKillCount: 4,
  pidsCurrent: 2,
  pidsLimit: 10,
  blockDevices: [
    { major: 250_000, minor: 1, readBytes: 1, writeBytes: 2, readOperations: 3, writeOperations: 4 },
  ],
  cpuQuotaUs: 0,
  cpuPeriodUs: 100_000,
  cpuShares: 1024,
  frozen: false,
};

const sample = (id: string): ContainerSample => ({
  path: `/gantry/${id}`,
  name: 'we"b\\1\n',
  image: 'busybox:latest',
  createdAtMs: 1.7e12,
  processCount: 1,
  usage,
});

test('promtool finds nothing to complain of', async () => {
  const text = await renderContainers(['1', '2'], sample);
  const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  assert.equal(checked.error, undefined);
  assert.equal(checked.stdout + checked.stderr, '');
  assert.equal(checked.status, 0);
});

test('each container is one line of each family, with its labels escaped', async () => {
  const text = await renderContainers(['1', '2'], sample);
  assert.ok(
    text.includes(
      'container_cpu_usage_seconds_total{id="/gantry/1",name="we\\"b\\\\1\\n",image="busybox:latest",cpu="total"} 1.5\n',
    ),
  );
  assert.ok(
    text.includes(
      'container_fs_writes_bytes_total{id="/gantry/2",name="we\\"b\\\\1\\n",image="busybox:latest",device="250000:1"} 2\n',
    ),
  );
  for (const { name } of containerFamilies.filter(({ name }) => name !== 'container_spec_cpu_quota')) {
    assert.equal(text.split(`\n${name}{`).length, 3, name);
    assert.equal(text.split(`# TYPE ${name} `).length, 2, name);
  }
});

test('a container that went away meanwhile is left out, and none at all gives no text', async () => {
  assert.equal(await renderContainers(['1'], () => undefined), '');
  assert.equal(await renderContainers([], sample), '');
});

test('other work gets its turn while many containers are rendered', async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  await renderContainers(
    Array.from({ length: 1000 }, (_, at) => String(at)),
    sample,
  );
  clearInterval(timer);
  assert.ok(turns > 0);
});

test('label values are escaped', () => {
  assert.equal(escapeLabel('a\\b"c\nd'), 'a\\\\b\\"c\\nd');
});

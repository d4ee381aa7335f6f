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
import { fileSystems, machineLines, memoryLines, processorLines } from './machine-metrics.js';
import { parseMountTable } from './mount-table.js';
import { parseInterfaces } from './network-figures.js';

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

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:12345678       5    1    2    0     0          0         0      900       9    3    4    0     0       0          0
`;

const sample = (id: string): ContainerSample => ({
  path: `/gantry/${id}`,
  name: 'we"b\\1\n',
  image: 'busybox:latest',
  createdAtMs: 1.7e12,
  processCount: 1,
  usage,
  interfaces: parseInterfaces(netDev),
});

test('promtool finds nothing to complain of', async () => {
  const text = await renderContainers(['1', '2'], sample, await machineLines());
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

test('what an interface received and sent is read from its columns, and loopback is left out', async () => {
  const text = await renderContainers(['1'], sample);
  const labels = '{id="/gantry/1",name="we\\"b\\\\1\\n",image="busybox:latest",interface="eth0"}';
  for (const [name, value] of [
    ['receive_bytes', 12345678],
    ['receive_packets_dropped', 2],
    ['transmit_bytes', 900],
    ['transmit_errors', 3],
  ])
    assert.ok(text.includes(`container_network_${name}_total${labels} ${value}\n`), `${name}`);
  assert.ok(!text.includes('interface="lo"'));
});

test('the machine stands among the containers as id "/", each family once', async () => {
  const text = await renderContainers(['1'], sample, await machineLines());
  for (const name of ['container_cpu_usage_seconds_total', 'container_memory_working_set_bytes']) {
    assert.match(text, new RegExp(`^${name}\\{id="/",name="",image=""[^}]*\\} [1-9]`, 'm'));
    assert.equal(text.split(`# TYPE ${name} `).length, 2);
  }
  assert.match(text, /^machine_cpu_cores [1-9]\d*$/m);
  assert.match(text, /^machine_memory_bytes [1-9]\d*$/m);
  assert.match(text, /^container_fs_limit_bytes\{id="\/",name="",image="",device="[^"]+"\} [1-9]/m);
});

test("the machine's CPU time is in seconds, waiting not counted; its memory is what is not free", () => {
  const find = (lines: readonly { name: string; value: number }[], name: string) =>
    lines.find((one) => one.name === name)?.value;
  const cpu = processorLines('cpu  100 200 300 4000 5000 60 40 100 0 0\ncpu0 1\ncpu1 1\nbtime 1700000000\n');
  assert.equal(find(cpu, 'container_cpu_usage_seconds_total'), 8);
  assert.equal(find(cpu, 'container_cpu_user_seconds_total'), 3);
  assert.equal(find(cpu, 'container_start_time_seconds'), 1_700_000_000);
  assert.equal(find(cpu, 'machine_cpu_cores'), 2);
  const memory = memoryLines('MemTotal:  100 kB\nMemFree:  40 kB\nInactive(file):  10 kB\nAnonPages: 7 kB\n');
  assert.equal(find(memory, 'container_memory_usage_bytes'), 60 * 1024);
  assert.equal(find(memory, 'container_memory_working_set_bytes'), 50 * 1024);
  assert.equal(find(memory, 'machine_memory_bytes'), 100 * 1024);
});

test('a block device is one file system however often it is mounted, and the root is one whatever it is', () => {
  const mounts = parseMountTable(
    [
      '1 0 0:50 / / rw - overlay overlay rw',
      '2 1 254:0 / /data rw - ext4 /dev/vda rw',
      '3 1 254:0 /x /x rw - ext4 /dev/vda rw',
      '4 1 0:5 / /proc rw - proc proc rw',
    ].join('\n'),
  );
  assert.deepEqual(
    fileSystems(mounts).map(({ source }) => source),
    ['overlay', '/dev/vda'],
  );
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

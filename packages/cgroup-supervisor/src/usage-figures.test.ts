import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLimit } from './kernel-text.js';
import * as figures from './usage-figures.js';

const from =
  (files: Readonly<Record<string, string>>): figures.FileReader =>
  (file) =>
    files[file] ?? '';

test('v1 memory: the working set is usage less inactive file pages of the whole tree', () => {
  const memory = figures.memoryV1(
    from({
      'memory.usage_in_bytes': '1000\n',
      'memory.max_usage_in_bytes': '2000\n',
      'memory.limit_in_bytes': '9223372036854771712\n',
      'memory.failcnt': '3\n',
      'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 4\n',
      'memory.stat':
        'cache 1\ninactive_file 1\ntotal_cache 300\ntotal_rss 600\ntotal_inactive_file 250\ntotal_swap 7\n',
    }),
  );
  assert.deepEqual(memory, {
    memoryUsageBytes: 1000,
    memoryWorkingSetBytes: 750,
    memoryRssBytes: 600,
    memoryCacheBytes: 300,
    memorySwapBytes: 7,
    memoryPeakBytes: 2000,
    memoryLimitBytes: 0,
    memoryFailcnt: 3,
    oomKillCount: 4,
  });
});

test('v2 memory: the same figures from its own files', () => {
  const memory = figures.memoryV2(
    from({
      'memory.current': '1000\n',
      'memory.peak': '2000\n',
      'memory.max': '67108864\n',
      'memory.swap.current': '7\n',
      'memory.events': 'low 0\nhigh 0\nmax 3\noom 1\noom_kill 4\noom_group_kill 0\n',
      'memory.stat': 'anon 600\nfile 300\nkernel 20\ninactive_file 250\n',
    }),
  );
  assert.deepEqual(memory, {
    memoryUsageBytes: 1000,
    memoryWorkingSetBytes: 750,
    memoryRssBytes: 600,
    memoryCacheBytes: 300,
    memorySwapBytes: 7,
    memoryPeakBytes: 2000,
    memoryLimitBytes: 67_108_864,
    memoryFailcnt: 3,
    oomKillCount: 4,
  });
});

test('the working set is never negative', () => {
  assert.equal(
    figures.memoryV2(from({ 'memory.current': '10', 'memory.stat': 'inactive_file 20\n' }))
      .memoryWorkingSetBytes,
    0,
  );
});

test('CPU figures are nanoseconds on both versions', () => {
  assert.deepEqual(
    figures.cpuTimeV1(from({ 'cpuacct.usage': '1500000000\n', 'cpuacct.stat': 'user 100\nsystem 50\n' })),
    {
      cpuUsageNs: 1.5e9,
      cpuUserNs: 1e9,
      cpuSystemNs: 5e8,
    },
  );
  assert.deepEqual(
    figures.cpuTimeV2(
      from({ 'cpu.stat': 'usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 1\n' }),
    ),
    {
      cpuUsageNs: 1.5e6,
      cpuUserNs: 1e6,
      cpuSystemNs: 5e5,
    },
  );
  const limited = {
    cpuPeriods: 5,
    cpuThrottledPeriods: 2,
    cpuThrottledNs: 3000,
    cpuQuotaUs: 50_000,
    cpuPeriodUs: 100_000,
  };
  assert.deepEqual(
    figures.cpuBandwidthV1(
      from({
        'cpu.stat': 'nr_periods 5\nnr_throttled 2\nthrottled_time 3000\n',
        'cpu.cfs_quota_us': '50000\n',
        'cpu.cfs_period_us': '100000\n',
        'cpu.shares': '1024\n',
      }),
    ),
    { ...limited, cpuShares: 1024 },
  );
  assert.deepEqual(
    figures.cpuBandwidthV2(
      from({
        'cpu.stat': 'nr_periods 5\nnr_throttled 2\nthrottled_usec 3\n',
        'cpu.max': '50000 100000\n',
        'cpu.weight': '100\n',
      }),
    ),
    { ...limited, cpuShares: 1024 },
  );
  assert.equal(figures.cpuBandwidthV2(from({ 'cpu.max': 'max 100000\n' })).cpuQuotaUs, 0);
});

test('block devices are counted one by one on both versions', () => {
  const device = {
    major: 8,
    minor: 16,
    readBytes: 4096,
    writeBytes: 8192,
    readOperations: 1,
    writeOperations: 2,
  };
  assert.deepEqual(
    figures.blockDevicesV1(
      from({
        'blkio.throttle.io_service_bytes_recursive':
          '8:16 Read 4096\n8:16 Write 8192\n8:16 Sync 0\n8:16 Total 12288\nTotal 12288\n',
        'blkio.throttle.io_serviced_recursive': '8:16 Read 1\n8:16 Write 2\n8:16 Total 3\nTotal 3\n',
      }),
    ),
    [device],
  );
  assert.deepEqual(
    figures.blockDevicesV2(
      from({ 'io.stat': '8:16 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n' }),
    ),
    [device],
  );
});

test('no limit reads as 0 in every spelling of the kernel', () => {
  assert.deepEqual(
    ['max\n', '9223372036854771712\n', '-1\n', '', '4096\n'].map(parseLimit),
    [0, 0, 0, 0, 4096],
  );
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { UsageFailure } from '../failures.js';
import { specFromFlags } from './container-spec.js';
import { parseMountFlag, parseTmpfsFlag, parseVolumeFlag } from './mounts.js';
import {
  parseAddHost,
  parseDevice,
  parseEnvironment,
  parseRestart,
  parseUlimit,
  readEnvironmentFile,
  readSecurityOption,
} from './pairs.js';
import { parsePublish, showPort } from './ports.js';
import { parseCpus, parseDuration, parseInteger, parseMoment, parseSize } from './quantities.js';

const refuses = (act: () => unknown, message: RegExp): void => {
  assert.throws(act, (error) => error instanceof UsageFailure && message.test(error.message));
};

test("sizes are docker's: powers of 1024 whatever the spelling", () => {
  const cases: [string, number][] = [
    ['64m', 64 * 2 ** 20],
    ['64M', 64 * 2 ** 20],
    ['64mb', 64 * 2 ** 20],
    ['64MiB', 64 * 2 ** 20],
    ['1.5g', 1.5 * 2 ** 30],
    ['512', 512],
    ['512b', 512],
    ['2 k', 2048],
    ['0', 0],
  ];
  for (const [text, bytes] of cases) assert.equal(parseSize(text, '--memory'), bytes, text);
  for (const text of ['', 'm', '-1', '1x', '1e3', '99999999p', 'NaN', '1.2.3', '0x10'])
    refuses(() => parseSize(text, '--memory'), /^--memory: ".*" is not a size/);
});

test('whatever a size, duration, port or mount is given, it is parsed or refused, never anything else', () => {
  const parsers: ((text: string) => unknown)[] = [
    (text) => parseSize(text, 'f'),
    (text) => parseDuration(text, 'f'),
    (text) => parseCpus(text, 'f'),
    (text) => parseInteger(text, 'f'),
    (text) => parseMoment(text, 'f', 0),
    parsePublish,
    parseVolumeFlag,
    parseMountFlag,
    parseTmpfsFlag,
    parseUlimit,
    parseDevice,
    parseRestart,
    parseAddHost,
  ];
  const text = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[0-9a-z:./,=[\]-]{0,20}$/),
    fc.stringMatching(/^[0-9.]{1,8}[a-z]{0,3}$/),
  );
  for (const parse of parsers)
    fc.assert(
      fc.property(text, (given) => {
        try {
          parse(given);
        } catch (error) {
          assert.ok(error instanceof UsageFailure, String(error));
          assert.ok(!/undefined|NaN/.test(error.message.replaceAll(given, '')), error.message);
        }
      }),
      { numRuns: 300 },
    );
});

test('durations are written as Go writes them', () => {
  assert.equal(parseDuration('1h2m3.5s', '--x'), 3_723_500);
  assert.equal(parseDuration('500ms', '--x'), 500);
  assert.equal(parseDuration('0', '--x'), 0);
  for (const text of ['', '5', '1d', '-1s', '1s ', 's'])
    refuses(() => parseDuration(text, '--x'), /is not a duration/);
});

test('a moment is a time ago, a date, a time or seconds since 1970', () => {
  const now = Date.UTC(2026, 0, 31, 12);
  assert.equal(parseMoment('10m', '--since', now), (now - 600_000) * 1e6);
  assert.equal(parseMoment('2026-01-31T11:00:00Z', '--since', now), (now - 3_600_000) * 1e6);
  assert.equal(parseMoment('1700000000.5', '--since', now), 1_700_000_000.5e9);
  refuses(() => parseMoment('yesterday', '--since', now), /--since: "yesterday" is neither/);
});

test('processors become a quota of a 100 ms period', () => {
  assert.equal(parseCpus('0.5', '--cpus'), 50_000);
  assert.equal(parseCpus('2', '--cpus'), 200_000);
  assert.equal(parseCpus('.25', '--cpus'), 25_000);
  for (const text of ['0', '-1', 'two', '0.001', ''])
    refuses(() => parseCpus(text, '--cpus'), /number of processors/);
});

test('ports are published in all the ways of docker', () => {
  const one = (hostIp: string, hostPort: number, containerPort: number, protocol = 'tcp'): object => ({
    hostIp,
    hostPort,
    containerPort,
    protocol,
  });
  const cases: [string, object[]][] = [
    ['80', [one('', 0, 80)]],
    ['8080:80', [one('', 8080, 80)]],
    ['8080:80/udp', [one('', 8080, 80, 'udp')]],
    ['127.0.0.1:8080:80/tcp', [one('127.0.0.1', 8080, 80)]],
    ['127.0.0.1::80', [one('127.0.0.1', 0, 80)]],
    ['[::1]:8080:80', [one('::1', 8080, 80)]],
    ['8000-8001:80-81', [one('', 8000, 80), one('', 8001, 81)]],
    ['80-81', [one('', 0, 80), one('', 0, 81)]],
  ];
  for (const [text, bindings] of cases) assert.deepEqual(parsePublish(text), bindings, text);
  refuses(() => parsePublish('x:80'), /--publish: "x:80"/);
  refuses(() => parsePublish('0:80'), /port from 1 to 65535/);
  refuses(() => parsePublish('70000:80'), /port from 1 to 65535/);
  refuses(() => parsePublish('8000-8002:80-81'), /ranges of different lengths/);
  refuses(() => parsePublish('80/sctp'), /protocol "sctp"/);
  refuses(() => parsePublish('1.2.3:80:80'), /where an address belongs/);
});

test('a published port that was parsed is shown as it was meant', () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  fc.assert(
    fc.property(fc.ipV4(), port, port, fc.constantFrom('tcp', 'udp'), (ip, host, inside, protocol) => {
      const [binding] = parsePublish(`${ip}:${host}:${inside}/${protocol}`);
      assert.ok(binding !== undefined);
      assert.equal(showPort(binding), `${ip}:${host}->${inside}/${protocol}`);
    }),
  );
});

test('volumes are paths, names or nothing', () => {
  assert.deepEqual(parseVolumeFlag('/src:/dst:ro'), {
    type: 'bind',
    source: '/src',
    target: '/dst',
    createSource: true,
    readOnly: true,
  });
  assert.deepEqual(parseVolumeFlag('data:/dst'), { type: 'volume', source: 'data', target: '/dst' });
  assert.deepEqual(parseVolumeFlag('/dst'), { type: 'volume', target: '/dst' });
  assert.deepEqual(parseVolumeFlag('/src:/dst:rshared,ro'), {
    ...{ type: 'bind', source: '/src', target: '/dst', createSource: true },
    ...{ readOnly: true, propagation: 'rshared' },
  });
  assert.equal(parseVolumeFlag('./here:/dst').source, join(process.cwd(), 'here'));
  refuses(() => parseVolumeFlag('/src:/dst:z'), /option "z"/);
  refuses(() => parseVolumeFlag('/src:dst'), /target "dst", which is not an absolute path/);
  refuses(() => parseVolumeFlag('a b:/dst'), /neither a path nor a volume's name/);
  refuses(() => parseVolumeFlag(''), /not of the form/);
});

test('mounts take the keys of their type and refuse others by name', () => {
  assert.deepEqual(parseMountFlag('type=bind,src=/a,dst=/b,readonly'), {
    type: 'bind',
    source: '/a',
    target: '/b',
    readOnly: true,
  });
  assert.deepEqual(parseMountFlag('source=data,target=/b'), { type: 'volume', source: 'data', target: '/b' });
  assert.deepEqual(parseMountFlag('type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700'), {
    ...{ type: 'tmpfs', target: '/t', tmpfsSizeBytes: 2 ** 20, tmpfsMode: 0o700 },
  });
  refuses(() => parseMountFlag('type=bind,target=/b'), /lacks a source/);
  refuses(() => parseMountFlag('type=nfs,target=/b'), /type "nfs"; bind, volume and tmpfs are done/);
  refuses(
    () => parseMountFlag('type=volume,target=/b,volume-driver=x'),
    /key "volume-driver", which is not done/,
  );
  refuses(() => parseMountFlag('type=tmpfs,target=/b,source=x'), /a tmpfs has none/);
  assert.deepEqual(parseTmpfsFlag('/t:size=64m,mode=1777,noexec'), {
    type: 'tmpfs',
    target: '/t',
    tmpfsSizeBytes: 64 * 2 ** 20,
    tmpfsMode: 0o1777,
  });
  refuses(() => parseTmpfsFlag('/t:exec'), /option "exec"/);
});

test('environment comes from flags, from here, and from files', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-env-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const own = { HOME: '/root' };
  assert.deepEqual(parseEnvironment('A=b=c', own), ['A=b=c']);
  assert.deepEqual(parseEnvironment('HOME', own), ['HOME=/root']);
  assert.deepEqual(parseEnvironment('ABSENT', own), []);
  refuses(() => parseEnvironment('=x', own), /has no name/);
  const file = join(directory, 'env');
  writeFileSync(file, '# comment\n\nA=1\r\n  B="quoted"\nHOME\nABSENT\n');
  assert.deepEqual(readEnvironmentFile(file, own), ['A=1', 'B="quoted"', 'HOME=/root']);
  writeFileSync(file, 'bad name=1\n');
  refuses(() => readEnvironmentFile(file, own), /has "bad name=1", which does not begin with a name/);
  refuses(() => readEnvironmentFile(join(directory, 'no'), own), /there is no such file/);
});

test('limits, devices, restarts and hosts are checked here, in the words of the flag', () => {
  assert.deepEqual(parseUlimit('nofile=1024:2048'), { name: 'nofile', soft: 1024, hard: 2048 });
  assert.deepEqual(parseUlimit('core=-1'), { name: 'core', soft: -1, hard: -1 });
  refuses(() => parseUlimit('nofile=2:1'), /soft limit above/);
  assert.deepEqual(parseDevice('/dev/fuse'), {
    hostPath: '/dev/fuse',
    containerPath: '/dev/fuse',
    permissions: 'rwm',
  });
  assert.deepEqual(parseDevice('/dev/a:/dev/b:r'), {
    hostPath: '/dev/a',
    containerPath: '/dev/b',
    permissions: 'r',
  });
  assert.deepEqual(parseDevice('/dev/a:rw'), {
    hostPath: '/dev/a',
    containerPath: '/dev/a',
    permissions: 'rw',
  });
  refuses(() => parseDevice('fuse'), /--device: "fuse"/);
  assert.deepEqual(parseRestart('on-failure:3'), { name: 'on-failure', maximumRetryCount: 3 });
  refuses(() => parseRestart('always:3'), /--restart: "always:3"/);
  assert.equal(parseAddHost('db=10.0.0.1'), 'db:10.0.0.1');
  assert.equal(parseAddHost('db:[::1]'), 'db:::1');
  refuses(() => parseAddHost('db:nowhere'), /HOST:ADDRESS/);
});

test('a seccomp profile is read on this side', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-seccomp-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'profile.json');
  writeFileSync(file, '{"defaultAction":"SCMP_ACT_ERRNO"}');
  assert.equal(readSecurityOption(`seccomp=${file}`), 'seccomp={"defaultAction":"SCMP_ACT_ERRNO"}');
  assert.equal(readSecurityOption('seccomp=unconfined'), 'seccomp=unconfined');
  assert.equal(readSecurityOption('no-new-privileges'), 'no-new-privileges');
  writeFileSync(file, 'not json');
  refuses(() => readSecurityOption(`seccomp=${file}`), /is not JSON/);
});

test('what no flag asks for is left to the node', () => {
  assert.deepEqual(specFromFlags('app', [], { pull: 'missing' }, {}), { image: 'app' });
});

test('flags become the specification of a container', () => {
  const spec = specFromFlags(
    'app',
    ['serve'],
    {
      pull: 'missing',
      memory: '64m',
      memorySwap: '-1',
      cpus: '0.5',
      entrypoint: '',
      label: ['a=b', 'c'],
      healthCmd: 'true',
      healthInterval: '5s',
      logOpt: ['max-size=1m', 'max-file=2'],
      network: 'default',
      rm: true,
      stopTimeout: '3',
      sysctl: ['net.ipv4.ip_forward=1'],
    },
    {},
  );
  assert.deepEqual(spec, {
    image: 'app',
    command: ['serve'],
    entrypointSet: true,
    labels: { a: 'b', c: '' },
    resources: {
      memoryLimitBytes: 64 * 2 ** 20,
      memorySwapLimitBytes: -1,
      cpuQuotaUs: 50_000,
      cpuPeriodUs: 100_000,
    },
    sysctls: { 'net.ipv4.ip_forward': '1' },
    network: 'bridge',
    stopTimeoutSeconds: 3,
    healthCheck: { test: ['CMD-SHELL', 'true'], intervalMs: 5_000 },
    log: { maxSizeBytes: 2 ** 20, maxFiles: 2 },
    autoRemove: true,
  });
});

test('flags that contradict each other are refused', () => {
  const refusesFlags = (flags: object, message: RegExp): void =>
    refuses(() => specFromFlags('app', [], { pull: 'missing', ...flags }, {}), message);
  refusesFlags({ rm: true, restart: 'always' }, /--rm and --restart/);
  refusesFlags({ cpus: '1', cpuQuota: '5000' }, /say the same twice/);
  refusesFlags({ healthcheck: false, healthCmd: 'x' }, /contradict/);
  refusesFlags({ userns: 'keep-id' }, /--userns: "keep-id"/);
  refusesFlags({ logOpt: ['tag=x'] }, /"tag" is not done/);
  refusesFlags({ logDriver: 'syslog' }, /"syslog" is not done/);
});

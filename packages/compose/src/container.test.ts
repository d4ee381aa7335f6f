import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Init, node } from '@gantry/protocol';
import { serviceOf, stackOf, type Beside } from './testing/read.js';

type Case = readonly [
  keys: string,
  container: Init<node.ContainerSpec>,
  beside?: Beside & { readonly rest?: string },
];

const profile = '{"defaultAction":"SCMP_ACT_ALLOW"}';

const table: readonly Case[] = [
  ['command: sleep 5', { command: ['sleep', '5'] }],
  [
    `command: sh -c 'echo "a b"' "c \\" d" e\\ f ''`,
    { command: ['sh', '-c', 'echo "a b"', 'c " d', 'e f', ''] },
  ],
  ['command: [sh, -c, "a; b"]', { command: ['sh', '-c', 'a; b'] }],
  ['command: null', {}],
  ['entrypoint: /run.sh --fast', { entrypoint: ['/run.sh', '--fast'], entrypointSet: true }],
  ['entrypoint: []', { entrypointSet: true }],
  ['entrypoint: ""', { entrypointSet: true }],
  ['entrypoint: [""]', { entrypointSet: true }],
  ['entrypoint: [/x]\ncommand: []', { entrypoint: ['/x'], entrypointSet: true }],
  ['entrypoint:', {}],
  [
    'environment: { B: x, A: 1, T: true, E: "", M: a=b }',
    { environment: ['A=1', 'B=x', 'E=', 'M=a=b', 'T=true'] },
  ],
  ['environment: [A=1, "B=x y", C=]', { environment: ['A=1', 'B=x y', 'C='] }],
  [
    'environment: { A: 0x10, B: 010, C: 1e3, D: 12345678901234567890 }',
    { environment: ['A=16', 'B=8', 'C=1000', 'D=12345678901234567890'] },
  ],
  ['environment: { HOME: , GONE: ~ }', { environment: ['HOME=/root'] }, { environment: { HOME: '/root' } }],
  ['working_dir: /srv', { workingDirectory: '/srv' }],
  ['user: "1000:1000"', { user: '1000:1000' }],
  ['group_add: [mail, 12]', { groups: ['mail', '12'] }],
  ['hostname: web-1', { hostname: 'web-1' }],
  ['tty: true\nstdin_open: yes', { terminal: true, openStdin: true }],
  ['tty: false', {}],
  ['read_only: true', { readOnlyRootfs: true }],
  ['privileged: "true"', { privileged: true }],
  ['init: true', { init: true }],
  ['cap_add: [NET_ADMIN]\ncap_drop: [ALL]', { capabilitiesAdd: ['NET_ADMIN'], capabilitiesDrop: ['ALL'] }],
  ['labels: { a.b: c, n: 1, e: }', { labels: { 'a.b': 'c', n: '1', e: '' } }],
  ['labels: [a=b=c, d]', { labels: { a: 'b=c', d: '' } }],
  ['sysctls: { net.core.somaxconn: 1024 }', { sysctls: { 'net.core.somaxconn': '1024' } }],
  ['sysctls: [net.core.somaxconn=1024]', { sysctls: { 'net.core.somaxconn': '1024' } }],
  ['shm_size: 64mb', { shmSizeBytes: 64 * 2 ** 20 }],
  ['shm_size: 1024', { shmSizeBytes: 1024 }],
  ['oom_score_adj: -500', { oomScoreAdjust: -500 }],
  ['userns_mode: host', { userNamespace: 'host' }],
  ['stop_signal: SIGUSR1', { stopSignal: 'SIGUSR1' }],
  ['stop_signal: 15', { stopSignal: '15' }],
  ['stop_grace_period: 1m30s', { stopTimeoutSeconds: 90 }],
  ['stop_grace_period: 0s', { stopTimeoutSeconds: 0 }],
  ['dns: 1.1.1.1', { dnsServers: ['1.1.1.1'] }],
  [
    'dns: [1.1.1.1, "::1"]\ndns_search: a.example\ndns_opt: [ndots:1]',
    { dnsServers: ['1.1.1.1', '::1'], dnsSearch: ['a.example'], dnsOptions: ['ndots:1'] },
  ],
  [
    'extra_hosts: ["a:1.2.3.4", "b=::1", "c:[::2]", "d:host-gateway"]',
    { extraHosts: ['a:1.2.3.4', 'b:::1', 'c:::2', 'd:host-gateway'] },
  ],
  [
    'extra_hosts: { a: 1.2.3.4, b: [1.1.1.1, 2.2.2.2] }',
    { extraHosts: ['a:1.2.3.4', 'b:1.1.1.1', 'b:2.2.2.2'] },
  ],
  [
    'devices: ["/dev/fuse", "/dev/null:/dev/x", "/dev/zero:r", "/dev/a:/dev/b:rw"]',
    {
      devices: [
        { hostPath: '/dev/fuse', containerPath: '/dev/fuse', permissions: 'rwm' },
        { hostPath: '/dev/null', containerPath: '/dev/x', permissions: 'rwm' },
        { hostPath: '/dev/zero', containerPath: '/dev/zero', permissions: 'r' },
        { hostPath: '/dev/a', containerPath: '/dev/b', permissions: 'rw' },
      ],
    },
  ],
  [
    'devices: [{ source: /dev/a, target: /dev/b, permissions: r }]',
    { devices: [{ hostPath: '/dev/a', containerPath: '/dev/b', permissions: 'r' }] },
  ],
  [
    'ulimits: { nproc: 65535, nofile: { soft: 1, hard: 2 }, core: -1 }',
    {
      ulimits: [
        { name: 'nproc', soft: 65535, hard: 65535 },
        { name: 'nofile', soft: 1, hard: 2 },
        { name: 'core', soft: -1, hard: -1 },
      ],
    },
  ],
  [
    'security_opt: [no-new-privileges:true, seccomp:unconfined, systempaths=unconfined]',
    { securityOptions: ['no-new-privileges', 'seccomp=unconfined', 'systempaths=unconfined'] },
  ],
  [
    'security_opt: [seccomp=./p.json]',
    { securityOptions: [`seccomp=${profile}`] },
    { files: { '/srv/p.json': profile } },
  ],
  [
    'healthcheck: { test: curl -f x || exit 1, interval: 1m30s, timeout: 500ms, retries: 3, start_period: 2s, start_interval: 1s }',
    {
      healthCheck: {
        test: ['CMD-SHELL', 'curl -f x || exit 1'],
        intervalMs: 90_000,
        timeoutMs: 500,
        retries: 3,
        startPeriodMs: 2_000,
        startIntervalMs: 1_000,
      },
    },
  ],
  ['healthcheck: { test: [CMD, curl, x] }', { healthCheck: { test: ['CMD', 'curl', 'x'] } }],
  ['healthcheck: { test: [NONE] }', { healthCheck: { test: ['NONE'] } }],
  ['healthcheck: { disable: true }', { healthCheck: { test: ['NONE'] } }],
  [
    'logging: { driver: json-file, options: { max-size: 10m, max-file: "3" } }',
    { log: { driver: 'json-file', maxSizeBytes: 10 * 2 ** 20, maxFiles: 3 } },
  ],
  ['logging: { driver: none }', { log: { driver: 'none' } }],
  ['network_mode: host', { network: 'host' }],
  [
    'networks: { default: { aliases: [b, a] }, front: }',
    { networkAliases: ['a', 'b'] },
    { rest: 'networks: { front: }' },
  ],
  ['networks: [default, front]', {}, { rest: 'networks: { front: { driver: overlay } }' }],

  [
    'mem_limit: 64m\nmem_reservation: 32m\nmemswap_limit: -1\ncpus: 1.5\npids_limit: 10',
    {
      resources: {
        memoryLimitBytes: 64 * 2 ** 20,
        memoryReservationBytes: 32 * 2 ** 20,
        memorySwapLimitBytes: -1,
        cpuQuotaUs: 150_000,
        cpuPeriodUs: 100_000,
        pidsLimit: 10,
      },
    },
  ],
  [
    'cpu_shares: 512\ncpuset: 0-2,4\ncpu_quota: 5000\ncpu_period: 10ms',
    { resources: { cpuShares: 512, cpusetCpus: '0-2,4', cpuQuotaUs: 5_000, cpuPeriodUs: 10_000 } },
  ],
  [
    'deploy: { resources: { limits: { cpus: "0.50", memory: 50M, pids: 5 } } }',
    { resources: { memoryLimitBytes: 50 * 2 ** 20, cpuQuotaUs: 50_000, cpuPeriodUs: 100_000, pidsLimit: 5 } },
  ],
  [
    'mem_limit: 1g\ndeploy: { resources: { limits: { memory: 1024m } } }',
    { resources: { memoryLimitBytes: 2 ** 30 } },
  ],

  ['ports: [80]', { ports: [port(0, 80)] }],
  ['ports: ["8080:80/udp"]', { ports: [{ ...port(8080, 80), protocol: 'udp' }] }],
  [
    'ports: ["127.0.0.1:8080:80", "[::1]:81:81", "127.0.0.1::82"]',
    {
      ports: [
        { ...port(8080, 80), hostIp: '127.0.0.1' },
        { ...port(81, 81), hostIp: '::1' },
        { ...port(0, 82), hostIp: '127.0.0.1' },
      ],
    },
  ],
  [
    'ports: ["8000-8001:80-81", "90-91"]',
    { ports: [port(8000, 80), port(8001, 81), port(0, 90), port(0, 91)] },
  ],
  [
    'ports: [{ target: 80, published: "8080", protocol: udp, host_ip: 127.0.0.1, mode: host }]',
    { ports: [{ hostIp: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: 'udp' }] },
  ],
  [
    'ports: ["127.0.0.1:80:80", "127.0.0.2:80:80", "80:81/udp"]',
    {
      ports: [
        { ...port(80, 80), hostIp: '127.0.0.1' },
        { ...port(80, 80), hostIp: '127.0.0.2' },
        { ...port(80, 81), protocol: 'udp' },
      ],
    },
  ],
  ['expose: ["80", 90-91]', {}],

  [
    'volumes: [./conf:/etc/x:ro]',
    { mounts: [{ type: 'bind', source: '/srv/conf', createSource: true, target: '/etc/x', readOnly: true }] },
  ],
  [
    'volumes: ["../up:/a", "/abs:/b:rslave", "~/h:/c"]',
    {
      mounts: [
        { type: 'bind', source: '/up', createSource: true, target: '/a' },
        { type: 'bind', source: '/abs', createSource: true, propagation: 'rslave', target: '/b' },
        { type: 'bind', source: '/home/u/h', createSource: true, target: '/c' },
      ],
    },
    { environment: { HOME: '/home/u' } },
  ],
  [
    'volumes: [data:/data, named:/n, ext:/e:rw, /anonymous]',
    {
      mounts: [
        { type: 'volume', source: 'demo_data', target: '/data' },
        { type: 'volume', source: 'chosen', target: '/n' },
        { type: 'volume', source: 'ext', target: '/e' },
        { type: 'volume', target: '/anonymous' },
      ],
    },
    { rest: 'volumes: { data: , named: { name: chosen, driver: local }, ext: { external: true } }' },
  ],
  [
    'volumes: [{ type: bind, source: ./c, target: /c, read_only: true, bind: { propagation: rshared, create_host_path: false } }]',
    {
      mounts: [{ type: 'bind', source: '/srv/c', target: '/c', readOnly: true, propagation: 'rshared' }],
    },
  ],
  [
    'volumes: [{ type: bind, source: /c, target: /c }]',
    { mounts: [{ type: 'bind', source: '/c', target: '/c', createSource: true }] },
  ],
  [
    'volumes: [{ type: volume, source: data, target: /d }, { type: volume, target: /e }]',
    {
      mounts: [
        { type: 'volume', source: 'demo_data', target: '/d' },
        { type: 'volume', target: '/e' },
      ],
    },
    { rest: 'volumes: { data: {} }' },
  ],
  [
    'volumes: [{ type: tmpfs, target: /t, tmpfs: { size: 10m, mode: 0750 } }]',
    { mounts: [{ type: 'tmpfs', target: '/t', tmpfsSizeBytes: 10 * 2 ** 20, tmpfsMode: 0o750 }] },
  ],
  ['tmpfs: /run', { mounts: [{ type: 'tmpfs', target: '/run' }] }],
  [
    'tmpfs: ["/run:size=64m,mode=1770,ro", "/tmp:rw,noexec"]',
    {
      mounts: [
        { type: 'tmpfs', target: '/run', tmpfsSizeBytes: 64 * 2 ** 20, tmpfsMode: 0o1770, readOnly: true },
        { type: 'tmpfs', target: '/tmp' },
      ],
    },
  ],
];

function port(hostPort: number, containerPort: number): Init<node.ContainerSpec['ports'][number]> & object {
  return { hostIp: '', hostPort, containerPort, protocol: 'tcp' };
}

for (const [keys, expected, beside] of table)
  test(`"${keys.replaceAll('\n', '; ')}" is translated`, () => {
    const { restartPolicy, ...container } = serviceOf(keys, beside).container ?? {};
    assert.deepEqual(container, { image: 'x', ...expected });
    assert.deepEqual(restartPolicy, { name: 'always' });
  });

const warned: readonly (readonly [keys: string, warning: string])[] = [
  [
    'command: a && b',
    '4:14: services.a.command has &, which no shell reads here: write ["sh", "-c", "..."] if one should',
  ],
  [
    'environment: { V: 1.10 }',
    '4:23: services.a.environment.V is 1.10, which YAML reads as 1.1: put it in quotes to keep it as written',
  ],
  [
    'labels: { V: 0777 }',
    '4:18: services.a.labels.V is 0777, which YAML reads as 511: put it in quotes to keep it as written',
  ],
  [
    'stop_grace_period: 1500ms',
    '4:24: services.a.stop_grace_period is rounded up to 2 s: only whole seconds are done',
  ],
  [
    'ports: [80, 81]',
    '4:13: services.a.ports[0]: ports are published on the nodes that run the task, not on every node of the cluster',
  ],
];

for (const [keys, warning] of warned)
  test(`"${keys}" is taken with one warning`, () => {
    const { warnings } = stackOf(`services:\n  a:\n    image: x\n    ${keys}\n`);
    assert.deepEqual(warnings, [`compose.yaml:${warning}`]);
  });

test('ports of mode host need no warning', () => {
  assert.deepEqual(
    stackOf('services: { a: { image: x, ports: [{ target: 80, mode: host }] } }').warnings,
    [],
  );
});

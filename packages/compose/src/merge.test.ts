import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Init, control, node } from '@gantry/protocol';
import { problemsOf, stackOf } from './testing/read.js';

/** Service `a` of two files whose keys these are. */
function merged(base: string, over: string): Init<control.ServiceSpec> {
  const file = (keys: string): string => `services:\n  a:\n${keys.replace(/^/gm, '    ')}\n`;
  const { stack } = stackOf([file(`image: x\n${base}`), file(over)]);
  const [service] = stack.services;
  assert.ok(service);
  return service;
}

/** The rules of merging of the Compose Specification (13-merge.md). */
const table: readonly (readonly [base: string, over: string, container: Init<node.ContainerSpec>])[] = [
  ['hostname: one', 'hostname: two', { hostname: 'two' }],
  ['hostname: one', 'user: u', { hostname: 'one', user: 'u' }],
  ['command: [a, b]', 'command: [c]', { command: ['c'] }],
  ['command: a b', 'command: [c]', { command: ['c'] }],
  ['command: [a]', 'command: null', { command: ['a'] }],
  ['entrypoint: [a]', 'entrypoint: []', { entrypointSet: true }],
  [
    'healthcheck: { test: [CMD, a], retries: 1 }',
    'healthcheck: { test: b }',
    { healthCheck: { test: ['CMD-SHELL', 'b'], retries: 1 } },
  ],
  ['environment: { A: 1, B: 1 }', 'environment: { B: 2, C: 2 }', { environment: ['A=1', 'B=2', 'C=2'] }],
  ['environment: [A=1, B=1]', 'environment: { B: 2 }', { environment: ['A=1', 'B=2'] }],
  ['environment: { A: 1 }', 'environment: [A=2]', { environment: ['A=2'] }],
  ['labels: [a=1]', 'labels: { b: 2 }', { labels: { a: '1', b: '2' } }],
  ['sysctls: [a.b=1]', 'sysctls: { a.b: 2 }', { sysctls: { 'a.b': '2' } }],
  ['cap_add: [BPF, CAP_KILL]', 'cap_add: [BPF, LEASE]', { capabilitiesAdd: ['BPF', 'KILL', 'LEASE'] }],
  ['dns: 1.1.1.1', 'dns: [2.2.2.2, 1.1.1.1]', { dnsServers: ['1.1.1.1', '2.2.2.2'] }],
  [
    'tmpfs: /a',
    'tmpfs: [/b]',
    {
      mounts: [
        { type: 'tmpfs', target: '/a' },
        { type: 'tmpfs', target: '/b' },
      ],
    },
  ],
  [
    'volumes: [/one:/x, /two:/y]',
    'volumes: [/three:/x:ro]',
    {
      mounts: [
        { type: 'bind', source: '/three', createSource: true, target: '/x', readOnly: true },
        { type: 'bind', source: '/two', createSource: true, target: '/y' },
      ],
    },
  ],
  [
    'volumes: [/one:/x]',
    'volumes: [{ type: tmpfs, target: /x }]',
    { mounts: [{ type: 'tmpfs', target: '/x' }] },
  ],
  ['ports: ["80:80"]', 'ports: ["80:80", "81:81"]', { ports: [port(80), port(81)] }],
  [
    'ports: [{ target: 80, published: 80 }]',
    'ports: [{ target: 80, published: "80", protocol: tcp }]',
    { ports: [port(80)] },
  ],
  [
    'devices: [/dev/a:/dev/x]',
    'devices: ["/dev/b:/dev/x:r"]',
    { devices: [{ hostPath: '/dev/b', containerPath: '/dev/x', permissions: 'r' }] },
  ],
  [
    'extra_hosts: ["a:1.1.1.1"]',
    'extra_hosts: { a: [1.1.1.1, 2.2.2.2] }',
    { extraHosts: ['a:1.1.1.1', 'a:2.2.2.2'] },
  ],
  [
    'ulimits: { nofile: 1, nproc: 1 }',
    'ulimits: { nofile: { soft: 2, hard: 3 } }',
    {
      ulimits: [
        { name: 'nofile', soft: 2, hard: 3 },
        { name: 'nproc', soft: 1, hard: 1 },
      ],
    },
  ],
  [
    'logging: { driver: json-file, options: { max-file: 2 } }',
    'logging: { options: { max-size: 1m } }',
    { log: { driver: 'json-file', maxFiles: 2, maxSizeBytes: 2 ** 20 } },
  ],
  [
    'logging: { driver: json-file, options: { max-file: 2 } }',
    'logging: { driver: none }',
    { log: { driver: 'none' } },
  ],
  ['networks: [default]', 'networks: { default: { aliases: [b] } }', { networkAliases: ['b'] }],
  [
    'networks: { default: { aliases: [b] } }',
    'networks: { default: { aliases: [c] } }',
    { networkAliases: ['b', 'c'] },
  ],
];

function port(number: number): Init<node.ContainerSpec['ports'][number]> & object {
  return { hostIp: '', hostPort: number, containerPort: number, protocol: 'tcp' };
}

for (const [base, over, expected] of table)
  test(`"${over}" over "${base}"`, () => {
    const { image, restartPolicy, ...container } = merged(base, over).container ?? {};
    assert.deepEqual([image, restartPolicy, container], ['x', { name: 'always' }, expected]);
  });

test('a later image replaces an earlier one', () => {
  assert.equal(merged('image: x'.replace('image: x', 'user: u'), 'image: y').container?.image, 'y');
});

test('deploy sections are merged key by key, constraints are joined', () => {
  const spec = merged(
    'deploy: { replicas: 2, placement: { constraints: [node.id != a] } }',
    'deploy: { replicas: 3, placement: { constraints: [node.id != b, node.id != a] } }',
  );
  assert.equal(spec.replicas, 3);
  assert.deepEqual(
    spec.placement?.constraints?.map(({ value }) => value),
    ['a', 'b'],
  );
});

test('services, networks and volumes of all files make the stack', () => {
  const { stack } = stackOf([
    'services: { a: { image: x } }\nvolumes: { v: }',
    'services: { b: { image: y, volumes: [v:/v, w:/w] } }\nvolumes: { w: { name: own } }',
    'volumes: { v: { external: true } }',
  ]);
  assert.deepEqual(
    stack.services.map(({ name }) => name),
    ['a', 'b'],
  );
  assert.deepEqual(
    stack.services[1]?.container?.mounts?.map(({ source }) => source),
    ['v', 'own'],
  );
});

test('paths of every file are meant from the directory of the first', () => {
  const { stack } = stackOf(['services: { a: { image: x } }', 'services: { a: { volumes: [./d:/d] } }']);
  assert.equal(stack.services[0]?.container?.mounts?.[0]?.source, '/srv/d');
});

test('a problem names the file in which it stands, in the order of the files', () => {
  assert.deepEqual(
    problemsOf([
      'services:\n  a:\n    image: x\n    tty: maybe\n    buid: .\n',
      'services:\n  a:\n    user: 5\n    imag: y\n',
    ]),
    [
      'compose.yaml:4:10: services.a.tty is "maybe", neither true nor false',
      'compose.yaml:5:5: services.a.buid: unknown key (did you mean build?)',
      'compose.1.yaml:3:11: services.a.user is 5, which YAML reads as a number: put it in quotes',
      'compose.1.yaml:4:5: services.a.imag: unknown key (did you mean image?)',
    ],
  );
});

test('of two wrong files both are told', () => {
  assert.deepEqual(problemsOf(['a: b: c', '']), [
    'compose.yaml:1:4: is no YAML: nested mappings are not allowed in compact mappings',
    'compose.1.yaml:1:1: the file is empty',
  ]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Init, control, node } from '@gantry/protocol';
import { serviceOf, stackOf } from './testing/read.js';

const table: readonly (readonly [keys: string, part: Init<control.ServiceSpec>])[] = [
  ['', { mode: 'SERVICE_MODE_REPLICATED', replicas: 1 }],
  ['deploy:', { replicas: 1 }],
  ['deploy: { replicas: 0 }', { replicas: 0 }],
  ['deploy: { replicas: "6" }', { replicas: 6 }],
  ['scale: 4', { replicas: 4 }],
  ['scale: 4\ndeploy: { replicas: 4 }', { replicas: 4 }],
  ['deploy: { mode: global }', { mode: 'SERVICE_MODE_GLOBAL', replicas: undefined }],
  ['deploy: { mode: replicated, endpoint_mode: dnsrr }', { mode: 'SERVICE_MODE_REPLICATED' }],
  ['deploy: { labels: { a: b } }', { labels: { a: 'b' } }],
  ['deploy: { labels: [a=b, c] }', { labels: { a: 'b', c: '' } }],
  ['', { reservation: { cpuMillis: 0, memoryBytes: 0 } }],
  ['deploy: { resources: { limits: { cpus: 2 } } }', { reservation: { cpuMillis: 0, memoryBytes: 0 } }],
  [
    'deploy: { resources: { reservations: { cpus: "0.25", memory: 20M } } }',
    { reservation: { cpuMillis: 250, memoryBytes: 20 * 2 ** 20 } },
  ],
  [
    'deploy: { placement: { constraints: ["node.labels.zone==eu", " node.Role != manager ", "node.platform.arch == x86_64", "node.labels.A/b-c.d == x y"] } }',
    {
      placement: {
        constraints: [
          { key: 'node.labels.zone', operator: '==', value: 'eu' },
          { key: 'node.role', operator: '!=', value: 'control' },
          { key: 'node.platform.arch', operator: '==', value: 'amd64' },
          { key: 'node.labels.A/b-c.d', operator: '==', value: 'x y' },
        ],
      },
    },
  ],
  [
    'deploy: { placement: { constraints: [node.id != a, node.id != b, node.hostname == c] } }',
    {
      placement: {
        constraints: [
          { key: 'node.id', operator: '!=', value: 'a' },
          { key: 'node.id', operator: '!=', value: 'b' },
          { key: 'node.hostname', operator: '==', value: 'c' },
        ],
      },
    },
  ],
  [
    'deploy: { placement: { preferences: [{ spread: node.labels.zone }, { spread: node.hostname }], max_replicas_per_node: 2 } }',
    { placement: { spread: ['node.labels.zone', 'node.hostname'], maxReplicasPerNode: 2 } },
  ],
  ['', { placement: undefined, update: { parallelism: 1 } }],
  [
    'deploy: { update_config: { parallelism: 0, delay: 10s, failure_action: rollback, monitor: 0s, max_failure_ratio: 0.3, order: start-first } }',
    {
      update: {
        parallelism: 0,
        delayMs: 10_000,
        failureAction: 'rollback',
        monitorMs: 0,
        maxFailureRatio: 0.3,
        order: 'start-first',
      },
    },
  ],
  ['pull_policy: always', { pullPolicy: 'always' }],
  ['pull_policy: if_not_present', { pullPolicy: 'missing' }],
];

for (const [keys, part] of table)
  test(`"${keys.replaceAll('\n', '; ')}" gives ${JSON.stringify(part)}`, () => {
    const spec: Init<control.ServiceSpec> = serviceOf(keys);
    assert.deepEqual(
      Object.fromEntries(Object.keys(part).map((key) => [key, spec[key as keyof control.ServiceSpec]])),
      part,
    );
  });

const policies: readonly (readonly [keys: string, policy: Init<node.RestartPolicy>])[] = [
  ['', { name: 'always' }],
  ['restart: no', { name: 'no' }],
  ['restart: "no"', { name: 'no' }],
  ['restart: always', { name: 'always' }],
  ['restart: unless-stopped', { name: 'always' }],
  ['restart: on-failure', { name: 'on-failure' }],
  ['restart: on-failure:3', { name: 'on-failure', maximumRetryCount: 3 }],
  ['deploy: { restart_policy: { condition: none } }', { name: 'no' }],
  ['deploy: { restart_policy: { condition: on-failure } }', { name: 'on-failure' }],
  ['deploy: { restart_policy: { condition: any } }', { name: 'always' }],
  ['restart: no\ndeploy: { restart_policy: { delay: 5s } }', { name: 'always', delayMs: 5_000 }],
  [
    'deploy: { restart_policy: { max_attempts: 3, window: 2m, delay: 0s } }',
    { name: 'always', maximumRetryCount: 3, delayMs: 0, windowMs: 120_000 },
  ],
];

for (const [keys, policy] of policies)
  test(`"${keys.replaceAll('\n', '; ')}" restarts as ${JSON.stringify(policy)}`, () => {
    assert.deepEqual(serviceOf(keys).container?.restartPolicy, policy);
  });

test('depends_on is taken in both forms, with a warning that it orders nothing', () => {
  for (const form of ['[b]', '{ b: { condition: service_started, required: true } }'])
    assert.deepEqual(
      stackOf(`services: { a: { image: x, depends_on: ${form} }, b: { image: x } }`).warnings,
      [
        'compose.yaml:1:28: services.a.depends_on orders nothing in a stack: services start at once and should try again until the others are there',
      ],
    );
});

test('networks of a stack are taken with a warning that they are one', () => {
  const { warnings } = stackOf('services: { a: { image: x, networks: [f, b] } }\nnetworks: { f: , b: }');
  assert.deepEqual(warnings, [
    'compose.yaml:2:1: networks: the services of a stack share one network on each node: they reach each other whichever they name',
  ]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeProblem } from './index.js';
import { problemsOf, readOne, stackOf } from './testing/read.js';

test('a small file becomes the service that it describes', () => {
  const { stack } = stackOf(`
services:
  web:
    image: nginx:1.27
    ports: ["8080:80"]
    deploy: { replicas: 3 }
`);
  assert.deepEqual(stack, {
    name: 'demo',
    images: ['nginx:1.27'],
    services: [
      {
        name: 'web',
        mode: 'SERVICE_MODE_REPLICATED',
        replicas: 3,
        container: {
          image: 'nginx:1.27',
          ports: [{ hostIp: '', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
          restartPolicy: { name: 'always' },
        },
        reservation: { cpuMillis: 0, memoryBytes: 0 },
        update: { parallelism: 1 },
      },
    ],
  });
});

test('all problems of a file are told at once, in the order of its lines', () => {
  assert.deepEqual(
    problemsOf(`
services:
  web:
    image: a
    buid: .
    ports: [70000]
  db:
    build: .
`),
    [
      'compose.yaml:5:5: services.web.buid: unknown key (did you mean build?)',
      'compose.yaml:6:13: services.web.ports[0] is "70000", whose ports are not all from 1 to 65535',
      'compose.yaml:8:5: services.db.build is not done by gantry stack deploy: build the image and name it in image',
    ],
  );
});

test('services are sorted by name, and each image is named once', () => {
  const { stack } = stackOf('services: { b: { image: y }, a: { image: x }, c: { image: x } }');
  assert.deepEqual(
    stack.services.map(({ name }) => name),
    ['a', 'b', 'c'],
  );
  assert.deepEqual(stack.images, ['x', 'y']);
});

test('warnings come with the stack and say where they stand', () => {
  const { warnings } = readOne('version: "3.8"\nservices: { a: { image: x } }');
  assert.deepEqual(warnings.map(describeProblem), [
    'compose.yaml:1:1: version is obsolete: the newest Compose Specification is meant',
  ]);
});

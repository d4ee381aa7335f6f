import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseImage } from './image-name.js';
import { problemsOf } from './testing/read.js';

const digest = `sha256:${'0a'.repeat(32)}`;

for (const name of [
  'nginx',
  'nginx:1.27-alpine',
  'library/nginx',
  'registry.example/team/web_app:latest',
  'registry.example:5000/a/b__c/d-e.f',
  'localhost/x',
  '[::1]:5000/x:y',
  `x@${digest}`,
  `127.0.0.1:5000/x:y@${digest}`,
])
  test(`${name} names an image`, () => {
    assert.deepEqual(parseImage(name), { ok: true, value: name });
  });

for (const name of [
  '',
  'Nginx',
  'a b',
  'x:',
  'x:a:b',
  'x@sha256:1',
  '/x',
  'x/',
  'a//b',
  '-x',
  'x:-tag',
  'http://x/y',
  `${'a/'.repeat(300)}x`,
  'a..b',
  'reg.example:port/x',
])
  test(`${JSON.stringify(name.slice(0, 20))} names none`, () => {
    assert.equal(parseImage(name).ok, false);
  });

test('what is wrong with the name of an image is told', () => {
  assert.deepEqual(problemsOf('services: { a: { image: Nginx } }'), [
    'compose.yaml:1:25: services.a.image is "Nginx", not the name of an image: the repository must be lower-case',
  ]);
});

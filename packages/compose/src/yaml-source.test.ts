import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problemsOf, serviceOf, stackOf } from './testing/read.js';

test('anchors, aliases and merge keys stand for what they name', () => {
  const { stack } = stackOf(`
x-common: &common
  user: "1"
  labels: &labels { team: a }
x-more: &more { user: "2", hostname: more }
services:
  one: { <<: *common, image: x }
  two: { image: x, user: "own", <<: [*common, *more] }
  three: { <<: [*more, *common], image: x, labels: { <<: *labels, own: b } }
`);
  const parts = stack.services.map(({ name, container }) => [
    name,
    container?.user,
    container?.hostname,
    container?.labels,
  ]);
  assert.deepEqual(parts, [
    ['one', '1', undefined, { team: 'a' }],
    ['three', '2', 'more', { team: 'a', own: 'b' }],
    ['two', 'own', 'more', { team: 'a' }],
  ]);
});

test('an anchor that is set again stands for its latest value before the alias', () => {
  const { stack } = stackOf(
    'x-a: &a one\nx-b: &b *a\n'.replace('&b *a', '*a') + 'x-c: &a two\nservices: { s: { image: *a } }',
  );
  assert.equal(stack.services[0]?.container?.image, 'two');
});

test('what is wrong inside an anchor is told where it is written, once for each use', () => {
  assert.deepEqual(
    problemsOf('x-a: &a\n  imag: y\nservices:\n  one: { image: x, <<: *a }\n  two: { image: x, <<: *a }\n'),
    [
      'compose.yaml:2:3: services.one.imag: unknown key (did you mean image?)',
      'compose.yaml:2:3: services.two.imag: unknown key (did you mean image?)',
    ],
  );
});

test('extensions may stand in every map of known keys', () => {
  stackOf(`
x-top: [1]
services:
  a:
    image: x
    x-own: { y: z }
    deploy: { x-own: 1, placement: { x-own: 1 } }
    healthcheck: { x-own: 1, test: y }
    ports: [{ target: 80, x-own: 1 }]
volumes: { v: { x-own: 1 } }
`);
});

test('a text is what its quotes, block or tag make it', () => {
  const { container } = serviceOf(
    'user: "1"\nhostname: !!str 2\nworking_dir: |-\n  /srv\ncommand: >-\n  a\n  b',
  );
  assert.deepEqual(
    [container?.user, container?.hostname, container?.workingDirectory, container?.command],
    ['1', '2', '/srv', ['a', 'b']],
  );
});

test('names that JavaScript gives to all objects are names like others', () => {
  const { container } = serviceOf('labels: { __proto__: a, constructor: b }\nenvironment: { toString: c }');
  assert.deepEqual(Object.entries(container?.labels ?? {}), [
    ['__proto__', 'a'],
    ['constructor', 'b'],
  ]);
  assert.deepEqual(container?.environment, ['toString=c']);
  assert.deepEqual(problemsOf('services: { a: { image: x, __proto__: 1, constructor: 2 } }'), [
    'compose.yaml:1:28: services.a.__proto__: unknown key',
    'compose.yaml:1:42: services.a.constructor: unknown key',
  ]);
});

test('windows line ends and a byte order mark change nothing', () => {
  const { stack } = stackOf('\uFEFFservices:\r\n  a:\r\n    image: x\r\n');
  assert.equal(stack.services[0]?.container?.image, 'x');
});

/** Ten aliases of ten aliases of ... : 10 to the 12th values. */
function bomb(): string {
  const lines = ['x-0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 12; level += 1)
    lines.push(
      `x-${level}: &a${level} [${Array<string>(10)
        .fill(`*a${level - 1}`)
        .join(', ')}]`,
    );
  return [...lines, 'services: { a: { image: x, command: *a11 } }'].join('\n');
}

const mergedForever = (): string =>
  Array.from(
    { length: 2_000 },
    (_, index) => `x-${index}: &a${index} { ${index === 0 ? '' : `<<: *a${index - 1}, `}k${index}: v }`,
  ).join('\n');

const tooMany = '1:1: the file has more than 100,000 values, its aliases written out';
const hostile: readonly (readonly [name: string, text: string, problem: string])[] = [
  [
    'ten megabytes',
    'x'.repeat(10_000_000),
    '1:1: the file is larger than 512 KiB (9,766 KiB): no compose file is',
  ],
  ['aliases of aliases', bomb(), tooMany],
  ['maps merged into maps', mergedForever(), tooMany],
  ['a long list', `x-a:\n${'- a\n'.repeat(110_000)}`, tooMany],
  ['open brackets', '['.repeat(100_000), '1:1: the file is nested too deeply to be read'],
  [
    'open brackets in lines of their own',
    '[\n'.repeat(20_000),
    ':1: the file is nested too deeply to be read',
  ],
  ['lists in lists', '- '.repeat(100_000), '1:1: the file is nested too deeply to be read'],
  [
    'maps in maps',
    `x-a: ${'{a: '.repeat(100)}1${'}'.repeat(100)}`,
    ': the file is nested too deeply to be read',
  ],
  [
    'a published port range for each of many',
    `services: { a: { image: x, ports: [${'"1-65535",'.repeat(10_000)}] } }`,
    '1:28: services.a.ports names more than 1,000 ports',
  ],
];

for (const [name, text, problem] of hostile)
  test(`${name}: refused with one sentence, without being written out`, { timeout: 60_000 }, () => {
    const problems = problemsOf(text);
    assert.equal(problems.length, 1);
    assert.ok(problems[0]?.startsWith('compose.yaml:') && problems[0].endsWith(problem), problems[0]);
  });

test('of thousands of problems two hundred are told, and how many are left', { timeout: 60_000 }, () => {
  const text = `services: { a: { image: x, ${Array.from({ length: 5_000 }, (_, index) => `k${index}: 1`).join(', ')} } }`;
  const problems = problemsOf(text);
  assert.equal(problems.length, 201);
  assert.match(problems.at(-1) ?? '', /and 4800 more problems$/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { describeProblem } from './index.js';
import { composeKeys } from './keys.js';
import { readMany } from './testing/read.js';

/** Reads and judges only this: an answer comes, and it is whole. */
function read(texts: readonly string[]): void {
  const reading = readMany(texts, { environment: { A: 'a', N: '5', E: '' } });
  if (reading.ok) {
    assert.ok(reading.stack.services.length > 0);
    for (const { name, container } of reading.stack.services)
      assert.ok(name !== '' && container?.image !== '');
  } else {
    assert.ok(reading.problems.length > 0);
    for (const problem of reading.problems) {
      assert.ok(problem.line >= 1 && problem.column >= 1 && problem.message !== '');
      assert.ok(describeProblem(problem).length < 1_000);
    }
  }
}

const words = [
  ...new Set(composeKeys.flatMap(({ path }) => path.split(/[.[\]*]+/).filter((step) => step !== ''))),
];
const value = fc.oneof(
  fc.constantFrom(
    '',
    '~',
    'true',
    '0',
    '-1',
    '80:80',
    '64m',
    '10s',
    'a=b',
    './x:/y',
    '$A',
    '${N:-x}',
    '${',
    'node.role == worker',
    'x:/y:ro',
    '0777',
    '1.10',
    '*a',
    '!!str 5',
    '!reset x',
    '"',
    "'",
    '[',
    '{ a: b }',
    '[a, b]',
    '{ target: 80 }',
    '{ type: tmpfs, target: /x }',
    '{ <<: *a }',
  ),
  fc.string({ maxLength: 12 }),
);

/** Something between YAML and noise, made of the words of compose files. */
const line = fc
  .tuple(
    fc.nat(8),
    fc.constantFrom('', '- ', '? ', '&a ', '<<: '),
    fc.option(fc.constantFrom(...words)),
    value,
  )
  .map(
    ([indent, mark, word, text]) => `${' '.repeat(indent)}${mark}${word === null ? '' : `${word}: `}${text}`,
  );
const yamlish = fc
  .array(line, { maxLength: 30 })
  .map((lines) => `services:\n  a:\n    image: x\n${lines.join('\n')}\n`);

/** Well-formed trees of known keys with values of any shape. */
const tree: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  node: fc.oneof(
    { depthSize: 'small' },
    value,
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(
      fc.oneof(fc.constantFrom(...words, 'a', 'default'), fc.string({ maxLength: 5 })),
      tie('node'),
      { maxKeys: 5 },
    ),
  ),
})).node;
const known = fc
  .record({
    services: fc.record({ a: fc.dictionary(fc.constantFrom(...words), tree, { maxKeys: 8 }), b: tree }),
    networks: tree,
    volumes: tree,
  })
  .map((content) => JSON.stringify(content));

const options = { numRuns: 400, interruptAfterTimeLimit: 30_000, markInterruptAsFailure: false };

test('whatever the text, an answer comes and nothing is thrown', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => read([text])),
    options,
  );
});

test('lines that look like a compose file are read or refused', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(yamlish, (text) => read([text])),
    options,
  );
});

test('known keys with values of any shape are read or refused', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(known, (text) => read([text])),
    options,
  );
});

test('two files of any shape are merged or refused', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(known, known, (base, over) => read([base, over])),
    options,
  );
});

test('reading is a function of its input', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(known, (text) => assert.deepEqual(readMany([text]), readMany([text]))),
    { ...options, numRuns: 100 },
  );
});

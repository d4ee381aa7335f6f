import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groups } from '../conformance/dist/groups.js';
import { readDocument, renderDocument, rowsOf, specification } from '../../tools/document-conformance.mjs';

/** Rules of the lifecycle of one word. */
const verbs = ['exec', 'list', 'pause', 'ps', 'resume', 'spec', 'update'];

const isBelow = (property, rule) => rule.endsWith('.*') && property.startsWith(rule.slice(0, -1));

test('docs/oci-conformance.md says what the conformance cases say', async () => {
  assert.ok(
    readDocument() === (await renderDocument()),
    'it is not current: run node tools/document-conformance.mjs',
  );
});

test('a property that one of its cases finds undone is not called done', () => {
  const rows = rowsOf([
    { title: 'first', covers: ['process.some'] },
    { title: 'second', covers: ['process.some', 'process.other'], differs: { runc: { why: 'too old' } } },
    { title: 'third', covers: ['process.refused'], refuses: true },
  ]);
  assert.deepEqual(
    rows.map(({ property, statuses }) => [property, statuses['gantry-oci'], statuses.runc]),
    [
      ['process.other', 'done', 'no: too old'],
      ['process.refused', 'refused by name', 'refused by name'],
      ['process.some', 'done', 'partly: too old'],
    ],
  );
});

test('every property of the specification has a case, and every property that a case names is one', () => {
  const cases = Object.values(groups).flat();
  const untested = rowsOf(cases, specification.properties).filter((row) => row.cases.length === 0);
  assert.deepEqual(
    untested.map(({ property }) => property),
    [],
  );
  const misspelled = cases
    .flatMap(({ covers }) => covers)
    .filter((rule) => /^[a-z]+([.[{]|$)/i.test(rule) && !/[ :]/.test(rule))
    .filter(
      (rule) =>
        !specification.properties.some(
          (one) => one === rule.replace(/(\[\]|\{\})$/, '') || isBelow(one, rule),
        ),
    );
  assert.deepEqual(
    misspelled.filter((rule) => !verbs.includes(rule)),
    [],
  );
});

test('a property without a case is said to have no test, and one that groups others is as they are', () => {
  const cases = [{ title: 'first', covers: ['linux.some.*'], differs: { crun: { why: 'too old' } } }];
  const known = ['linux', 'linux.some', 'linux.some.first', 'root'];
  assert.deepEqual(
    rowsOf(cases, known).map(({ property, statuses }) => [property, statuses['gantry-oci'], statuses.crun]),
    [
      ['linux', 'done', 'no: too old'],
      ['linux.some', 'done', 'no: too old'],
      ['linux.some.first', 'done', 'no: too old'],
      ['root', 'no test', 'no test'],
    ],
  );
});

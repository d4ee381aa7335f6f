import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDocument, renderDocument, rowsOf } from '../../tools/document-conformance.mjs';

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

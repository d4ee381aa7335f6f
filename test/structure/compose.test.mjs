import assert from 'node:assert/strict';
import { test } from 'node:test';
import { composeKeys } from '../../packages/compose/dist/index.js';
import { readDocument, renderDocument } from '../../tools/document-compose.mjs';

test('docs/compose.md lists every key of compose files that the reader knows', async () => {
  assert.ok(
    readDocument() === (await renderDocument()),
    'it is not current: run node tools/document-compose.mjs',
  );
});

test('no key stands twice in the table, and each refused one says what to do instead', () => {
  const paths = composeKeys.map(({ path }) => path);
  assert.equal(new Set(paths).size, paths.length);
  assert.deepEqual(
    composeKeys.filter(({ status, note }) => status === 'refused' && note === '').map(({ path }) => path),
    [],
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { composeKeys } from '../../packages/compose/dist/index.js';
import {
  capabilityNames,
  isSignal,
  signalNames,
  ulimitNames,
} from '../../packages/compose/dist/linux-names.js';
import { CAPABILITIES, SIGNAL_NUMBERS, parseSignal, resolveUlimits } from '../../packages/oci/dist/index.js';
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

test('the names that a compose file may use are those that nodes know', () => {
  assert.deepEqual(
    [...capabilityNames].map((name) => `CAP_${name}`),
    [...CAPABILITIES],
  );
  for (const name of ulimitNames) assert.ok(resolveUlimits([{ name, soft: 1, hard: 1 }]).ok, name);
  const words = [
    ...signalNames,
    'sigterm',
    '15',
    '0',
    '64',
    '65',
    'RTMIN+30',
    'RTMIN+31',
    'RTMAX-30',
    'NONE',
  ];
  for (const word of words) assert.equal(isSignal(word), parseSignal(word) !== undefined, word);
  assert.deepEqual([...signalNames].map((name) => `SIG${name}`).sort(), Object.keys(SIGNAL_NUMBERS).sort());
});

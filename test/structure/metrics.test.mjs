import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collectMetrics, readDocument, renderDocument } from '../../tools/document-metrics.mjs';

const groups = await collectMetrics();
const ours = groups.flatMap(({ metrics }) => metrics).filter(({ name }) => name.startsWith('gantry_'));

test('docs/metrics.md tells every series that the services register', async () => {
  assert.ok(
    readDocument() === (await renderDocument()),
    'it is not current: run node tools/document-metrics.mjs',
  );
});

test('only counters end in _total, and all of them do', () => {
  const wrong = ours.filter(({ name, type }) => name.endsWith('_total') !== (type === 'counter'));
  assert.deepEqual(
    wrong.map(({ name }) => name),
    [],
  );
});

test('units are base units, and no name is taken twice', () => {
  const scaled = ours.filter(({ name }) =>
    /_(ms|milliseconds|microseconds|us|ns|minutes|hours|kb|mb|kib|mib|percent)(_|$)/.test(name),
  );
  assert.deepEqual(
    scaled.map(({ name }) => name),
    [],
  );
  const names = ours.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
});

test('labels are few and never an id, but for the series that only tell what belongs together', () => {
  const wide = ours.filter(
    ({ name, labels }) =>
      (labels.length > 3 && !name.endsWith('_info')) ||
      labels.some((label) => /(^|_)(id|pid|digest|address|path)$/.test(label)),
  );
  assert.deepEqual(
    wide.map(({ name, labels }) => `${name}{${labels}}`),
    [],
  );
});

test('every metric says in a sentence what it means', () => {
  const silent = ours.filter(({ help }) => help.length < 10);
  assert.deepEqual(
    silent.map(({ name }) => name),
    [],
  );
});

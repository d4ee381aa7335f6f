import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatDocument, formatTable, listUnmet } from './report.js';
import {
  atMost,
  findGaps,
  isMet,
  measured,
  published,
  ratioTo,
  requiredPeers,
  rowIds,
  type Row,
  type RowId,
} from './row.js';
import { median, percentile } from './statistics.js';

const rowOf = (id: RowId, more: Partial<Row> = {}): Row => ({
  id,
  what: `what ${id} measures`,
  unit: 'ms',
  value: 5,
  peers: requiredPeers[id].map((name) => measured(name, 10)),
  budgets: [],
  ...more,
});
const wholeTable = (): Row[] => rowIds.map((id) => rowOf(id));

describe('the table', () => {
  it('is whole when every row has its peers', () => {
    assert.deepEqual(findGaps(wholeTable()), []);
  });

  it('is not whole without one of its rows', () => {
    assert.deepEqual(findGaps(wholeTable().filter(({ id }) => id !== 'pull')), ['row pull is missing']);
  });

  it('is not whole when a peer was not measured in this run', () => {
    const rows = wholeTable().map((row) =>
      row.id === 'pull' ? { ...row, peers: [published('podman', 9)] } : row,
    );
    assert.deepEqual(findGaps(rows), ['row pull lacks its peer podman']);
  });

  it('is not whole when a figure is no figure', () => {
    const rows = wholeTable().map((row) => (row.id === 'pull' ? { ...row, value: Number.NaN } : row));
    assert.deepEqual(findGaps(rows), ['row pull has no figure: NaN']);
  });

  it('is as wide in every line, with one line a peer', () => {
    const lines = formatTable(wholeTable());
    const peers = rowIds.reduce((total, id) => total + requiredPeers[id].length, 0);
    assert.equal(lines.length, 2 + peers);
    assert.equal(new Set(lines.map((line) => line.length)).size, 1);
  });

  it('has its rows in one order, whatever order they were measured in', () => {
    assert.deepEqual(formatTable(wholeTable().reverse()), formatTable(wholeTable()));
  });
});

describe('a budget', () => {
  it('is met at its limit and missed above it', () => {
    assert.equal(isMet(rowOf('run-rm', { value: 12 }), atMost('milestone', 12)), true);
    assert.equal(isMet(rowOf('run-rm', { value: 12.1 }), atMost('milestone', 12)), false);
  });

  it('relative to a peer is our figure divided by the peer’s', () => {
    assert.equal(isMet(rowOf('run-rm', { value: 2.5 }), ratioTo('design', 'podman', 1 / 4)), true);
    assert.equal(isMet(rowOf('run-rm', { value: 2.6 }), ratioTo('design', 'podman', 1 / 4)), false);
  });

  it('relative to a peer that is not there is not met', () => {
    assert.equal(isMet(rowOf('run-rm'), ratioTo('design', 'docker', 1)), false);
  });

  it('that is missed is told in words, with the figure and the limit', () => {
    const row = rowOf('run-rm', { what: 'run --rm', budgets: [ratioTo('design', 'podman', 1 / 4)] });
    assert.deepEqual(listUnmet([row]), [
      'design: run --rm is 5.00 ms (podman: 10.0 ms), budget ≤ 1/4 of podman',
    ]);
  });
});

describe('the document', () => {
  const machine = {
    processor: '2 × Some Processor (x64)',
    memory: '8 GB',
    kernel: 'Linux 6.1',
    cgroups: 'v2',
    distribution: 'Debian',
    idlePercentBefore: 100,
    programs: ['crun 1.8'],
  };

  it('says when the machine had other work', () => {
    const write = (idlePercentBefore: number): string =>
      formatDocument({
        rows: wholeTable(),
        notes: [],
        machine: { ...machine, idlePercentBefore },
        date: new Date(0),
      });
    assert.match(write(30), /busy with other work/);
    assert.doesNotMatch(write(99), /busy with other work/);
  });

  it('tells machine, date, notes and methods beside the table', () => {
    const text = formatDocument({ rows: wholeTable(), notes: ['A note.'], machine, date: new Date(0) });
    for (const part of [
      'Some Processor',
      '1970-01-01 00:00 UTC',
      '- A note.',
      'How it is measured',
      'crun 1.8',
    ]) {
      assert.ok(text.includes(part), `${part} is not in the document`);
    }
  });
});

describe('a percentile', () => {
  it('is a sample, by nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    assert.equal(median(hundred), 50);
    assert.equal(percentile(hundred, 99), 99);
    assert.equal(percentile([7], 99), 7);
  });

  it('of nothing is refused', () => {
    assert.throws(() => median([]), /percentile of nothing/);
  });
});

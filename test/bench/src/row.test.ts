import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatDocument, formatTable, listUnmet } from './report.js';
import {
  atLeast,
  atMost,
  atMostAbove,
  families,
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
import { formatStages } from './stage-table.js';
import { parseOptions } from './options.js';
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

  it('is whole for the families that were asked for', () => {
    const rows = wholeTable().filter(({ id }) => families.spawner.some((own) => own === id));
    assert.deepEqual(findGaps(rows, ['spawner']), []);
    assert.notDeepEqual(findGaps(rows, ['spawner', 'shim']), []);
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

  it('that must be reached is met at its limit and missed below it', () => {
    assert.equal(isMet(rowOf('log-20', { value: 100 }), atLeast('milestone', 100)), true);
    assert.equal(isMet(rowOf('log-20', { value: 99 }), atLeast('milestone', 100)), false);
  });

  it('above a peer is our figure without the peer’s', () => {
    assert.equal(isMet(rowOf('oci-run', { value: 22 }), atMostAbove('milestone', 'bare Node', 12)), true);
    assert.equal(isMet(rowOf('oci-run', { value: 22.1 }), atMostAbove('milestone', 'bare Node', 12)), false);
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
        stages: undefined,
        machine: { ...machine, idlePercentBefore },
        date: new Date(0),
      });
    assert.match(write(30), /busy with other work/);
    assert.doesNotMatch(write(99), /busy with other work/);
  });

  it('tells machine, date, notes and methods beside the table', () => {
    const stages = { names: ['execve'], bundle: [0.25], whole: [0.5], floor: 1 };
    const text = formatDocument({
      rows: wholeTable(),
      notes: ['A note.'],
      stages,
      machine,
      date: new Date(0),
    });
    for (const part of [
      'Some Processor',
      '1970-01-01 00:00 UTC',
      '- A note.',
      'How it is measured',
      'crun 1.8',
      ...formatStages(stages),
    ]) {
      assert.ok(text.includes(part), `${part} is not in the document`);
    }
  });
});

describe('options', () => {
  it('write the table only when all of it is measured', () => {
    assert.match(parseOptions([]).output ?? '', /docs\/benchmarks\.md$/);
    assert.equal(parseOptions(['spawner']).output, undefined);
    assert.equal(parseOptions(['--quick']).output, undefined);
    assert.deepEqual(parseOptions(['shim', 'spawner']).families, ['shim', 'spawner']);
  });

  it('name the families there are when another is asked for', () => {
    assert.throws(() => parseOptions(['shims']), /no family of rows shims; there are node, spawner/);
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

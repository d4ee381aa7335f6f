import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { allFamilies, type Family } from './row.js';

/** How often each thing is done. */
export interface Repetitions {
  readonly starts: number;
  readonly startsWarmUp: number;
  /** Runs of crun, half before and half after ours; of runc, half as many. */
  readonly bundleRuns: number;
  readonly startsDuringPull: number;
  readonly pairs: number;
  /** Containers of the rows that are called a hundred. */
  readonly containers: number;
  readonly pulls: number;
  readonly imageFiles: number;
  readonly sandboxes: number;
  /** Deploys of one task through control. */
  readonly deploys: number;
  readonly settleMs: number;
  /** Starts through the spawner alone. */
  readonly spawns: number;
  readonly manyContainers: number;
  /** What one container writes while the speed of its log is measured, and how often. */
  readonly logMegabytes: number;
  readonly logRounds: number;
  /** What a shim has logged before its memory is read once more. */
  readonly loggedMegabytes: number;
  readonly attaches: number;
}

export interface Options {
  readonly repetitions: Repetitions;
  readonly quick: boolean;
  /** What is measured. */
  readonly families: readonly Family[];
  /** Where the table is written; undefined for nowhere. */
  readonly output: string | undefined;
  /** Where the rows are written as JSON; undefined for nowhere. */
  readonly json: string | undefined;
}

const full: Repetitions = {
  starts: 1000,
  startsWarmUp: 50,
  bundleRuns: 400,
  startsDuringPull: 200,
  pairs: 20,
  containers: 100,
  pulls: 3,
  imageFiles: 56_000,
  sandboxes: 200,
  deploys: 40,
  settleMs: 10_000,
  spawns: 400,
  manyContainers: 500,
  logMegabytes: 40,
  logRounds: 3,
  loggedMegabytes: 100,
  attaches: 2_000,
};

const quick: Repetitions = {
  starts: 40,
  startsWarmUp: 5,
  bundleRuns: 20,
  startsDuringPull: 5,
  pairs: 3,
  containers: 16,
  pulls: 1,
  imageFiles: 6_000,
  sandboxes: 15,
  deploys: 5,
  settleMs: 1_000,
  spawns: 20,
  manyContainers: 24,
  logMegabytes: 2,
  logRounds: 1,
  loggedMegabytes: 2,
  attaches: 30,
};

export const usage = `npm run bench [-- FAMILY ...] [--quick] [--output FILE] [--json FILE]
  FAMILY          only these rows (${allFamilies.join(', ')}); writes no table
  --quick         few repetitions: shows that everything can be measured, not what it measures; writes no table
  --output FILE   where the table goes (docs/benchmarks.md)
  --json FILE     the rows once more, for programs`;

export function parseOptions(words: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      output: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const families = positionals.map((word) => {
    const family = allFamilies.find((name) => name === word);
    if (family === undefined)
      throw new Error(`there is no family of rows ${word}; there are ${allFamilies.join(', ')}`);
    return family;
  });
  const isPart = values.quick || families.length > 0;
  const table = fileURLToPath(new URL('../../../docs/benchmarks.md', import.meta.url));
  return {
    quick: values.quick,
    repetitions: values.quick ? quick : full,
    families: families.length > 0 ? families : allFamilies,
    output: values.output ?? (isPart ? undefined : table),
    json: values.json,
  };
}

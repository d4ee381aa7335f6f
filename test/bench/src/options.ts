import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

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
}

export interface Options {
  readonly repetitions: Repetitions;
  readonly quick: boolean;
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
};

export const usage = `npm run bench [-- --quick] [--output FILE] [--json FILE]
  --quick         few repetitions: shows that everything can be measured, not what it measures; writes no table
  --output FILE   where the table goes (docs/benchmarks.md)
  --json FILE     the rows once more, for programs`;

export function parseOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      quick: { type: 'boolean', default: false },
      output: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const table = fileURLToPath(new URL('../../../docs/benchmarks.md', import.meta.url));
  return {
    quick: values.quick,
    repetitions: values.quick ? quick : full,
    output: values.output ?? (values.quick ? undefined : table),
    json: values.json,
  };
}

import { AssertionError } from 'node:assert';
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isUnified } from './machine.js';
import { runtimes, type RuntimeName } from './runtimes.js';
import { Subject, makeCgroupParents, removeCgroupParents } from './subject.js';
import { judge, type Difference } from './verdict.js';

export interface Case {
  /** A sentence that states the promise. */
  readonly title: string;
  /** Properties of config.json (`linux.devices[].path`; `.*` for all below) or rules of the lifecycle (`create: ...`). */
  readonly covers: readonly string[];
  /** The case proves that the property is refused by name. */
  readonly refuses?: boolean;
  readonly differs?: Partial<Record<RuntimeName, Difference>>;
  judge(subject: Subject): Promise<void>;
}

export const differently = (why: string, seen: RegExp): Difference => ({ why, seen });
export const differentlyOn = (on: 'v1' | 'v2', why: string, seen: RegExp): Difference => ({ why, seen, on });

/** Properties that the specification got after the references' versions: refused or ignored by them, each in its way. */
export const newerThanReferences = {
  runc: differently('came after runc 1.1', /.*/s),
  crun: differently('came after crun 1.8', /.*/s),
};

/** The failure that the runtime is to blame for; what else goes wrong is the case's own fault. */
async function judgeOnce(one: Case, subject: Subject): Promise<AssertionError | undefined> {
  let failure: AssertionError | undefined;
  try {
    await one.judge(subject);
  } catch (error) {
    failure =
      error instanceof AssertionError ? error : new AssertionError({ message: (error as Error).message });
    if (!(error instanceof AssertionError)) failure.stack = (error as Error).stack ?? '';
  }
  const left = await subject.close();
  if (left.length > 0) failure ??= new AssertionError({ message: `left behind: ${left.join(', ')}` });
  return failure;
}

const differenceHere = (difference: Difference | undefined): Difference | undefined =>
  difference?.on === undefined || (difference.on === 'v2') === isUnified ? difference : undefined;

/** Registers the tests: each case on each runtime. */
export function proveCases(group: string, cases: readonly Case[]): void {
  const only = process.env['CONFORMANCE_RUNTIMES']?.split(',');
  void describe(group, { concurrency: 2 }, () => {
    let scratch = '';
    before(() => {
      scratch = mkdtempSync(join(tmpdir(), 'gantry-conformance-'));
      chmodSync(scratch, 0o755);
      makeCgroupParents();
    });
    after(() => {
      const left = removeCgroupParents();
      rmSync(scratch, { recursive: true, force: true });
      assert.deepEqual(left, [], 'cgroups were left');
    });
    for (const one of cases)
      for (const runtime of runtimes) {
        if (only !== undefined && !only.includes(runtime.name)) continue;
        void test(`${runtime.name}: ${one.title}`, async () => {
          await judge(runtime.name, differenceHere(one.differs?.[runtime.name]), () =>
            judgeOnce(one, new Subject(runtime, scratch)),
          );
        });
      }
  });
}

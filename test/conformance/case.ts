import { AssertionError } from 'node:assert';
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runtimes, type RuntimeName } from './runtimes.js';
import { Subject, makeCgroupParents, removeCgroupParents } from './subject.js';

/** Why a runtime is known not to do as the case says, and what its failure looks like. */
export interface Difference {
  readonly why: string;
  readonly seen: RegExp;
  /** A race of the reference: it does as the case says at one time and not at another. Never for gantry-oci. */
  readonly unsteady?: true;
}

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

/** What gantry-oci does not do today; it says so by name, or `seen` says what it does instead. */
export const notDone = (seen = /is not supported|are not supported/): Difference =>
  differently('not done yet', seen);

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
          const difference = one.differs?.[runtime.name];
          const failure = await judgeOnce(one, new Subject(runtime, scratch));
          if (difference === undefined) {
            if (failure !== undefined) throw failure;
            return;
          }
          if (difference.unsteady === true) return;
          assert.ok(
            failure !== undefined,
            `${runtime.name} does as the case says: the difference "${difference.why}" is no more`,
          );
          assert.match(failure.message, difference.seen, `another difference than "${difference.why}"`);
        });
      }
  });
}

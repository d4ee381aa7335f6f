import { AssertionError } from 'node:assert';
import type { RuntimeName } from './runtimes.js';

/** Why a runtime is known not to do as the case says, and what its failure looks like. */
export interface Difference {
  readonly why: string;
  readonly seen: RegExp;
  /** Only where limits are files of this version of cgroups. */
  readonly on?: 'v1' | 'v2';
}

/**
 * How often a reference is judged before it is said to have changed: measured on a busy machine, a race of its own may
 * end in another way once. gantry-oci has one chance.
 */
const referenceJudgements = 3;

const asOneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, ' ');

/** Whether what was seen of a runtime is what is known of it; undefined when it is, else what is wrong. */
export function troubleOf(
  runtime: RuntimeName,
  difference: Difference | undefined,
  failure: AssertionError | undefined,
): AssertionError | undefined {
  if (difference === undefined) {
    if (failure === undefined || runtime === 'gantry-oci') return failure;
    return new AssertionError({
      message: `${runtime} no longer does as the case says: ${asOneLine(failure.message)}`,
    });
  }
  if (failure === undefined)
    return new AssertionError({
      message: `${runtime} does as the case says: the difference "${difference.why}" is no more`,
    });
  if (difference.seen.test(failure.message)) return undefined;
  return new AssertionError({
    message: `${runtime} has another difference than "${difference.why}": ${asOneLine(failure.message)} (expected ${difference.seen})`,
  });
}

/** Judges until what is seen is what is known; throws every trouble there was. */
export async function judge(
  runtime: RuntimeName,
  difference: Difference | undefined,
  judgeOnce: () => Promise<AssertionError | undefined>,
): Promise<void> {
  const judgements = runtime === 'gantry-oci' ? 1 : referenceJudgements;
  const troubles: AssertionError[] = [];
  while (troubles.length < judgements) {
    const trouble = troubleOf(runtime, difference, await judgeOnce());
    if (trouble === undefined) return;
    troubles.push(trouble);
  }
  // Pids and paths are others each time.
  const others = new Map(troubles.map((trouble) => [trouble.message.replaceAll(/\d+/g, 'N'), trouble]));
  const [first, ...rest] = others.values();
  if (first !== undefined && rest.length === 0) throw first;
  throw new AssertionError({
    message: [...others.values()].map(({ message }) => message).join('; another time: '),
  });
}

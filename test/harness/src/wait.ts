import { setTimeout as sleep } from 'node:timers/promises';

/** Asks until there is an answer that is not undefined or false; fails with the sentence after the time. */
export async function eventually<T>(
  sentence: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let problem: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    if (performance.now() > deadline) {
      throw new Error(
        `${sentence}: not within ${timeoutMs} ms`,
        problem === undefined ? {} : { cause: problem },
      );
    }
    await sleep(50);
  }
}

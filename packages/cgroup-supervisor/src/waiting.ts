import { setTimeout as sleep } from 'node:timers/promises';

/** A moment after which a wait gives up, on the monotonic clock. */
export interface Deadline {
  readonly atMs: number;
  readonly signal: AbortSignal | undefined;
}

export function deadlineIn(milliseconds: number, signal?: AbortSignal): Deadline {
  return { atMs: performance.now() + milliseconds, signal };
}

/**
 * Tries until `attempt` gives true or the deadline has passed, with pauses that grow from 1 to 20 ms. For states that
 * the kernel reaches within microseconds and announces to nobody, or to nobody reliably.
 *
 * @returns whether it came true
 */
export async function tryUntil(deadline: Deadline, attempt: () => boolean): Promise<boolean> {
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 20)) {
    if (attempt()) return true;
    const leftMs = deadline.atMs - performance.now();
    if (leftMs <= 0 || deadline.signal?.aborted === true) return false;
    await sleep(Math.min(pauseMs, leftMs));
  }
}

/** A moment after which a wait gives up, on the monotonic clock. */
export interface Deadline {
  readonly atMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Monotonic; Node's `performance` takes longer to load than a short-lived program has for all it does. */
function nowMs(): number {
  return process.uptime() * 1000;
}

export function deadlineIn(milliseconds: number, signal?: AbortSignal): Deadline {
  return { atMs: nowMs() + milliseconds, signal };
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
    const leftMs = deadline.atMs - nowMs();
    if (leftMs <= 0 || deadline.signal?.aborted === true) return false;
    const waitMs = Math.min(pauseMs, leftMs);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

import type { Container } from './container.js';
import { isActive } from './lifecycle.js';
import { refusal } from './refuse.js';

const KILL_WAIT_MS = 10_000;
/** How often a waiting stop asks the spawner itself, in case the event was lost. */
const ASK_INTERVAL_MS = 1000;

/** What the user may say about a stop; undefined takes the container's own. */
export interface StopWish {
  readonly timeoutSeconds: number | undefined;
  readonly signal: number | undefined;
}

/**
 * Signal, patience, SIGKILL to all; resolves when the exit has been handled. Runs outside of the container's queue,
 * because the exit comes through it.
 */
export async function stopProcess(
  container: Container,
  wish: StopWish,
  defaultTimeoutSeconds: number,
): Promise<void> {
  const { attempt } = container.life;
  const { spec, execution, name } = container.record;
  const timeoutSeconds = wish.timeoutSeconds ?? spec.stopTimeoutSeconds ?? defaultTimeoutSeconds;
  if (timeoutSeconds > 0) {
    await container.thaw();
    await container.signalProcess(wish.signal ?? execution.stopSignal);
    if (await goneWithin(container, attempt, timeoutSeconds * 1000)) return;
  }
  await container.killAll();
  if (await goneWithin(container, attempt, KILL_WAIT_MS)) return;
  throw refusal(
    'deadline_exceeded',
    'StopContainer',
    container.id,
    `container ${name} did not end within ${KILL_WAIT_MS / 1000} s of SIGKILL`,
  );
}

async function goneWithin(container: Container, attempt: number, timeoutMs: number): Promise<boolean> {
  const gone = (): boolean => container.life.attempt !== attempt || !isActive(container.life);
  const end = performance.now() + timeoutMs;
  while (!gone()) {
    const left = end - performance.now();
    if (left <= 0) return false;
    const patience = AbortSignal.timeout(Math.ceil(Math.min(left, ASK_INTERVAL_MS)));
    await container.wait('next-exit', patience).catch(() => undefined);
    if (!gone()) await container.askProcess();
  }
  // What the exit entails is in the queue before us.
  await container.actor.run(() => Promise.resolve());
  return true;
}

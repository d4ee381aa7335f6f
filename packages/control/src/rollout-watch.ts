import { GantryError, type control } from '@gantry/protocol';
import { failureOf, hasConverged, progressOf } from './progress.js';
import type { Reign } from './reign.js';
import { findService } from './services.js';

/** A roll-out with a problem that does not move for this long has failed, milliseconds. */
const stuckAfterMs = 20_000;
const lookIntervalMs = 1_000;

/** Progress of a stack or a service whenever it changes; the last message says how it ended. */
export async function* watchRollout(
  reign: Reign,
  { stack, service }: control.WatchRolloutRequest,
  signal: AbortSignal,
): AsyncGenerator<control.WatchRolloutResponse> {
  const chosen = chooser(reign, stack, service);
  let last = '';
  let movedAtMs = reign.nowMs();
  const over = AbortSignal.any([signal, reign.signal]);
  for await (const _ of reign.pulses(over, lookIntervalMs)) {
    const nodes = reign.nodeViews();
    const services = chosen().map((one) => progressOf(one, reign.state.tasks.ofService(one.id), nodes));
    const now = JSON.stringify(services);
    const isNews = now !== last;
    if (isNews) {
      last = now;
      movedAtMs = reign.nowMs();
    }
    if (services.every(hasConverged) && services.every((one) => failureOf(one) === undefined)) {
      yield { services, converged: true, failed: '' };
      return;
    }
    const problems = services.flatMap((one) =>
      hasConverged(one) ? [] : one.problems.map((text) => `${one.name}: ${text}`),
    );
    const isStuck = problems.length > 0 && reign.nowMs() - movedAtMs >= stuckAfterMs;
    const failed =
      services.map(failureOf).find((text) => text !== undefined) ?? (isStuck ? problems.join('; ') : '');
    if (failed !== '') {
      yield { services, converged: false, failed };
      return;
    }
    if (isNews) yield { services, converged: false, failed: '' };
  }
}

function chooser(reign: Reign, stack: string, service: string): () => control.Service[] {
  if (service !== '') {
    const { id } = findService(reign, service);
    return () => [reign.state.services.get(id)].filter((one) => one !== undefined);
  }
  if (!reign.state.stacks.has(stack))
    throw new GantryError({
      code: 'not_found',
      operation: 'WatchRollout',
      object: stack,
      message: `there is no stack ${stack}`,
    });
  return () => [...reign.state.services.values()].filter((one) => one.stack === stack && !one.removing);
}

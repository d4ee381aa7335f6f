import type { control } from '@gantry/protocol';
import { hasEnded, isLive, isRunning, isWanted, stateOf } from './placement.js';
import type { Step } from './steps.js';

/** One place of a service: a slot of a replicated one, a node of a global one. */
export interface Place {
  readonly key: string;
  /** Every task of the place that is remembered. */
  readonly tasks: readonly control.Task[];
}

export interface RolloutInput {
  readonly service: control.Service;
  readonly places: readonly Place[];
  /** Leader's clock, milliseconds; the same as `runningSince`. */
  readonly nowMs: number;
  /** Since when this leader has seen the task run; absent when it does not. */
  readonly runningSince: (taskId: string) => number | undefined;
  /** Whether start-first may have two tasks in a place for a while. */
  readonly mayDouble: boolean;
}

/** What a roll-out wants now. */
export interface RolloutDecision {
  readonly steps: readonly Step[];
  /** Places that get a task of the new version beside the old one (start-first). */
  readonly doubled: ReadonlySet<string>;
  /** When to look again though nothing has happened; Infinity for never. */
  readonly wakeAtMs: number;
}

const defaultMonitorMs = 5_000;

export const isCurrent = (service: control.Service, task: control.Task): boolean =>
  task.serviceVersion === service.taskVersion;

/**
 * Replaces tasks of older versions group by group. A new task counts when it runs (and is healthy) and has done so for the
 * monitor time; a group waits for the one before it and the delay. Pure.
 *
 * ```
 *   (dirty) ──> updating ──all replaced──> completed
 *                 │ too many failed
 *                 ├── pause ──> paused       (until the next change of the spec)
 *                 └── rollback ──> rolling_back ──> rolled_back
 * ```
 */
export function rollOut({ service, places, nowMs, runningSince, mayDouble }: RolloutInput): RolloutDecision {
  const none: RolloutDecision = { steps: [], doubled: new Set(), wakeAtMs: Infinity };
  const state = service.updateStatus?.state ?? '';
  const dirty = places.filter(({ tasks }) => tasks.some((task) => isLive(task) && !isCurrent(service, task)));
  const isUnderWay = state === 'updating' || state === 'rolling_back';
  if (state === 'paused') return none;
  if (!isUnderWay && dirty.length === 0) return none;

  const {
    parallelism = 1,
    delayMs = 0,
    failureAction = '',
    maxFailureRatio = 0,
    order = '',
  } = service.spec?.update ?? {};
  const monitorMs = service.spec?.update?.monitorMs ?? defaultMonitorMs;
  const steps: Step[] = [];
  const begun = isUnderWay ? service : withStatus(service, 'updating', '', nowMs);
  if (begun !== service) steps.push({ type: 'update-service', service: begun });

  const current = places.flatMap(({ tasks }) => tasks.filter((task) => isCurrent(service, task)));
  // Rolled back, the service has tasks of this version from before: how those fared is no news.
  const startedUnixMs = begun.updateStatus?.startedUnixMs ?? 0;
  const failed = current.filter(
    (task) => task.createdUnixMs >= startedUnixMs && hasFailed(task, runningSince(task.id), nowMs, monitorMs),
  );
  const wanted = Math.max(1, places.length);
  if (failed.length / wanted > maxFailureRatio && failureAction !== 'continue') {
    const reason = `${failed.length} of ${wanted} new tasks failed: ${failed.at(-1)?.status?.message ?? ''}`;
    if (failureAction === 'rollback' && state !== 'rolling_back' && service.previousSpec !== undefined)
      return { ...none, steps: [{ type: 'update-service', service: rolledBack(service, reason, nowMs) }] };
    return {
      ...none,
      steps: [{ type: 'update-service', service: withStatus(begun, 'paused', reason, nowMs) }],
    };
  }

  let wakeAtMs = Infinity;
  let lastSettledMs = -Infinity;
  const busy = new Set<string>();
  const doubled = new Set<string>();
  for (const place of places) {
    const fresh = place.tasks.filter((task) => isCurrent(service, task) && isLive(task));
    const old = place.tasks.filter((task) => !isCurrent(service, task) && isLive(task));
    const settled = fresh.find((task) => {
      const since = runningSince(task.id);
      return isRunning(task) && since !== undefined && nowMs - since >= monitorMs;
    });
    const hasDone = place.tasks.some(
      (task) => isCurrent(service, task) && isWanted(task) && isFulfilled(task, service.spec),
    );
    if (settled !== undefined || hasDone) {
      if (settled !== undefined)
        lastSettledMs = Math.max(lastSettledMs, (runningSince(settled.id) ?? 0) + monitorMs);
      // Start-first: the new one stands, the old one may go.
      for (const task of old)
        steps.push({ type: 'set-desired', taskId: task.id, desired: 'DESIRED_STATE_SHUTDOWN' });
      continue;
    }
    // Nothing of either version: the reconciler is about to fill it.
    if (fresh.length > 0 || old.length === 0) busy.add(place.key);
    if (fresh.length > 0 && old.length > 0) doubled.add(place.key);
    for (const task of fresh) {
      const since = runningSince(task.id);
      if (since !== undefined) wakeAtMs = Math.min(wakeAtMs, since + monitorMs);
    }
  }
  const untouched = dirty.filter(({ key }) => !busy.has(key));
  if (untouched.length === 0 && busy.size === 0) {
    const done = state === 'rolling_back' ? 'rolled_back' : 'completed';
    if (dirty.length === 0) {
      const message = done === 'rolled_back' ? (service.updateStatus?.message ?? '') : '';
      return {
        steps: [{ type: 'update-service', service: withStatus(begun, done, message, nowMs) }],
        doubled,
        wakeAtMs,
      };
    }
  }
  if (busy.size === 0 && untouched.length > 0) {
    const mayBeginMs = lastSettledMs + delayMs;
    if (nowMs < mayBeginMs) return { steps, doubled, wakeAtMs: Math.min(wakeAtMs, mayBeginMs) };
    const group = untouched.filter(({ tasks }) =>
      tasks.some((task) => isWanted(task) && !isCurrent(service, task)),
    );
    for (const { key, tasks } of parallelism === 0 ? group : group.slice(0, parallelism)) {
      if (order === 'start-first' && mayDouble) {
        doubled.add(key);
        continue;
      }
      for (const task of tasks)
        if (isLive(task) && !isCurrent(service, task))
          steps.push({ type: 'set-desired', taskId: task.id, desired: 'DESIRED_STATE_SHUTDOWN' });
    }
  }
  return { steps, doubled, wakeAtMs };
}

/** It ended as its restart policy allows: nothing takes its place. */
export function isFulfilled(task: control.Task, spec: control.ServiceSpec | undefined): boolean {
  const policy = spec?.container?.restartPolicy?.name ?? '';
  if (policy === 'always' || policy === 'unless-stopped') return false;
  if (stateOf(task) === 'TASK_STATE_COMPLETE') return true;
  // Without an exit code it was not the process that ended it.
  return stateOf(task) === 'TASK_STATE_FAILED' && task.status?.exitCode !== undefined;
}

/** A new task that ended, could not start, or needed a restart before it had proved itself. */
function hasFailed(task: control.Task, since: number | undefined, nowMs: number, monitorMs: number): boolean {
  const state = stateOf(task);
  if (state === 'TASK_STATE_FAILED' || state === 'TASK_STATE_REJECTED') return true;
  if (hasEnded(task)) return false;
  const isProved = since !== undefined && nowMs - since >= monitorMs;
  return !isProved && ((task.status?.restarts ?? 0) > 0 || task.status?.health === 'unhealthy');
}

function withStatus(
  service: control.Service,
  state: string,
  message: string,
  nowMs: number,
): control.Service {
  const begins = state === 'updating' || state === 'rolling_back';
  const startedUnixMs = begins ? nowMs : (service.updateStatus?.startedUnixMs ?? nowMs);
  const ended = state === 'completed' || state === 'paused' || state === 'rolled_back';
  return { ...service, updateStatus: { state, message, startedUnixMs, completedUnixMs: ended ? nowMs : 0 } };
}

/** The spec before, and its tasks, wanted again; replicas stay as they are. */
export function rolledBack(service: control.Service, reason: string, nowMs: number): control.Service {
  const { previousSpec, spec } = service;
  if (previousSpec === undefined || spec === undefined) return service;
  return withStatus(
    {
      ...service,
      spec: { ...previousSpec, replicas: spec.replicas },
      taskVersion: service.previousTaskVersion,
      previousSpec: spec,
      previousTaskVersion: service.taskVersion,
      version: service.version + 1,
      updatedUnixMs: nowMs,
    },
    'rolling_back',
    reason,
    nowMs,
  );
}

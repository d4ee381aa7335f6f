import type { HealthStatus } from '../health-state.js';
import { isActive, type Lifecycle } from '../lifecycle.js';

/**
 * What is to be done for one task, one step at a time: pure.
 *
 * ```
 *  assigned ─► preparing ─► starting ─► running ─┬─► complete   ended with 0, not started again
 *     pull        create       start             ├─► failed     ended otherwise, unhealthy, stopped or removed by hand
 *      └────────────┴───────────┴─► rejected     └─► shutdown   stopped as control wished
 * ```
 *
 * The container's restarts are its own policy's business; this looks at what comes of them.
 */
export type TaskStateName =
  | 'assigned'
  | 'preparing'
  | 'starting'
  | 'running'
  | 'complete'
  | 'shutdown'
  | 'failed'
  | 'rejected'
  | 'lost';

export type Desired = 'running' | 'shutdown' | 'removed';

const ORDER: readonly TaskStateName[] = ['assigned', 'preparing', 'starting', 'running'];

export const isEnded = (state: TaskStateName): boolean => !ORDER.includes(state);

/** States go forward only; those that end a task are the last. */
export function isForward(from: TaskStateName, to: TaskStateName): boolean {
  if (isEnded(from)) return false;
  return isEnded(to) || ORDER.indexOf(to) > ORDER.indexOf(from);
}

/** What is remembered of a task. */
export interface TaskFacts {
  readonly desired: Desired;
  readonly state: TaskStateName;
  /** It had a container once: that there is none now means that somebody removed it. */
  readonly hadContainer: boolean;
  /** Its image is here. */
  readonly imageReady: boolean;
}

/** What is to be seen of its container. */
export interface ContainerLook {
  readonly life: Lifecycle;
  /** Undefined without a check, and before its first look. */
  readonly health: HealthStatus | undefined;
  readonly hasHealthCheck: boolean;
  /** Boot of the machine now. */
  readonly bootId: string;
  /** The node goes down: what stops now is started again when it comes up. */
  readonly nodeGoesDown: boolean;
}

export type TaskStep =
  | { readonly do: 'pull' }
  | { readonly do: 'create' }
  | { readonly do: 'start' }
  | { readonly do: 'stop' }
  | { readonly do: 'remove' }
  /** Takes a state, with its reason; `exitCode` where it ended by itself. */
  | {
      readonly do: 'enter';
      readonly state: TaskStateName;
      readonly message: string;
      readonly exitCode?: number;
    }
  /** Nothing is left of it, as control wished: tell it and forget the task. */
  | { readonly do: 'forget' };

/** The next step; undefined when there is nothing to do until something happens. */
export function decideTask(task: TaskFacts, container: ContainerLook | undefined): TaskStep | undefined {
  if (task.desired !== 'running') return wayOut(task, container);
  if (isEnded(task.state))
    return container !== undefined && canRun(container.life) ? { do: 'stop' } : undefined;
  return container === undefined ? wayIn(task) : follow(task, container);
}

/** It has a process, or will have one by itself. */
const canRun = (life: Lifecycle): boolean => isActive(life) || life.state === 'restarting';

/** Stopped, then removed; `stop` is left out where nothing can run any more. */
function wayOut(task: TaskFacts, container: ContainerLook | undefined): TaskStep | undefined {
  if (container !== undefined) return canRun(container.life) ? { do: 'stop' } : { do: 'remove' };
  if (!isEnded(task.state)) return { do: 'enter', state: 'shutdown', message: '' };
  return task.desired === 'removed' ? { do: 'forget' } : undefined;
}

/** No container yet. */
function wayIn(task: TaskFacts): TaskStep {
  if (task.hadContainer)
    return { do: 'enter', state: 'failed', message: 'its container was removed by hand' };
  if (!task.imageReady) return task.state === 'assigned' ? preparing : { do: 'pull' };
  if (task.state === 'assigned' || task.state === 'preparing')
    return { do: 'enter', state: 'starting', message: '' };
  return { do: 'create' };
}

const preparing: TaskStep = { do: 'enter', state: 'preparing', message: 'its image is being fetched' };
const running: TaskStep = { do: 'enter', state: 'running', message: '' };

function follow(task: TaskFacts, look: ContainerLook): TaskStep | undefined {
  const { life } = look;
  if (task.state === 'assigned' || task.state === 'preparing')
    return { do: 'enter', state: 'starting', message: '' };
  switch (life.state) {
    case 'removing':
    case 'dead':
      return { do: 'enter', state: 'failed', message: 'its container was removed by hand' };
    case 'running':
    case 'paused':
      return followRunning(task, look);
    case 'restarting':
      return task.state === 'running' || look.hasHealthCheck ? undefined : running;
    case 'created':
      if (life.starting) return undefined;
      if (life.attempt === 0) return look.nodeGoesDown ? undefined : { do: 'start' };
      return { do: 'enter', state: 'rejected', message: life.error || 'its container cannot be started' };
    case 'exited':
      return followExited(look);
  }
}

function followRunning(task: TaskFacts, look: ContainerLook): TaskStep | undefined {
  if (look.hasHealthCheck && look.health === 'unhealthy')
    return { do: 'enter', state: 'failed', message: 'its health check fails' };
  if (task.state === 'running') return undefined;
  return !look.hasHealthCheck || look.health === 'healthy' ? running : undefined;
}

function followExited({ life, bootId, nodeGoesDown }: ContainerLook): TaskStep | undefined {
  if (life.starting) return undefined;
  // Only the node's going down stops a container without its being the user's wish.
  const nodeStopped = life.suspended || (life.desired === 'stopped' && !life.stoppedByUser);
  if (nodeStopped || (life.bootId !== bootId && !life.stoppedByUser))
    return nodeGoesDown ? undefined : { do: 'start' };
  if (life.stoppedByUser)
    return {
      do: 'enter',
      state: 'failed',
      message: 'its container was stopped by hand',
      exitCode: life.exitCode,
    };
  const { exitCode } = life;
  if (exitCode === 0) return { do: 'enter', state: 'complete', message: '', exitCode };
  return { do: 'enter', state: 'failed', message: reasonOfEnd(life), exitCode };
}

function reasonOfEnd({ exitCode, oomKilled, error }: Lifecycle): string {
  if (error !== '') return error;
  return oomKilled
    ? `it ran out of memory and was killed (exit code ${exitCode})`
    : `it ended with exit code ${exitCode}`;
}

/**
 * The container's state machine: pure, monotonic in `attempt`.
 *
 * ```
 *            start                    exited, policy says no
 *  created ────────► (starting) ──► running ─────────────────────► exited
 *     ▲                 │  ▲          │  ▲ │                         │  │
 *     └──start-failed───┘  │   pause  ▼  │ └─exited, policy: again─┐ │  │ start
 *                          │        paused (unpause)               ▼ │  ▼
 *                          └──────────── restart due ──── restarting◄┘ (starting)
 *
 *  created, exited, restarting, dead ── remove ──► removing ──► (no record)
 *                                                     └── removal-failed ──► dead
 * ```
 *
 * `starting` is not a state for people but a promise to ourselves: attempt N may or may not have a process. Whoever
 * finds it set asks the spawner before doing anything else.
 */
export type StateName = 'created' | 'running' | 'paused' | 'restarting' | 'exited' | 'removing' | 'dead';

export interface Lifecycle {
  readonly state: StateName;
  /** Counts the starts; only grows. 0: never started. */
  readonly attempt: number;
  /** A start of `attempt` has begun and its outcome is not recorded yet. */
  readonly starting: boolean;
  /** What the user wants; `stopped` while it runs is a stop that is under way. */
  readonly desired: 'running' | 'stopped';
  /** The user stopped it: no policy but `always` at the next boot starts it again. */
  readonly stoppedByUser: boolean;
  /** Stopped because the node was taken down: starts again when the node comes up. */
  readonly suspended: boolean;
  /** Once it has exited, start it again whatever the policy (the user's `restart`). */
  readonly startAgain: boolean;
  /** Of the removal under way. */
  readonly removeVolumes: boolean;
  /** Boot of the machine at the latest start. */
  readonly bootId: string;
  readonly pid: number;
  /** 0: never. */
  readonly startedUnixNanos: number;
  readonly finishedUnixNanos: number;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly error: string;
  /** Automatic restarts since the user's last start. */
  readonly restartCount: number;
  /** Exits in a row that came within 10 s of their start: the exponent of the back-off. */
  readonly quickExits: number;
  /** When automatic restarts were due, those within the policy's window; kept only where it has one and a maximum. */
  readonly restartsUnixMs: readonly number[];
  /** When `restarting`: due then. */
  readonly restartAtUnixMs: number;
}

export interface Policy {
  readonly name: 'no' | 'always' | 'unless-stopped' | 'on-failure';
  /** on-failure and always; 0: no maximum. */
  readonly maximumRetryCount: number;
  /** Before each automatic start; absent: a back-off that doubles with quick exits. */
  readonly delayMs?: number;
  /** The maximum counts restarts within this time; absent: since the user's start. */
  readonly windowMs?: number;
}

export type LifecycleEvent =
  | { readonly type: 'start'; readonly bootId: string; readonly automatic: boolean }
  | {
      readonly type: 'started';
      readonly attempt: number;
      readonly pid: number;
      readonly startedUnixNanos: number;
    }
  | {
      readonly type: 'start-failed';
      readonly attempt: number;
      readonly error: string;
      readonly exitCode: number;
      readonly nowUnixMs: number;
    }
  | {
      readonly type: 'exited';
      readonly attempt: number;
      readonly exitCode: number;
      readonly oomKilled: boolean;
      readonly error: string;
      readonly finishedUnixNanos: number;
      readonly nowUnixMs: number;
    }
  | { readonly type: 'pause' }
  | { readonly type: 'unpause' }
  | { readonly type: 'stop'; readonly thenStart: boolean }
  | { readonly type: 'suspend' }
  | { readonly type: 'remove'; readonly volumes: boolean }
  | { readonly type: 'removal-failed'; readonly error: string };

export const NEW_LIFECYCLE: Lifecycle = Object.freeze({
  state: 'created',
  attempt: 0,
  starting: false,
  desired: 'stopped',
  stoppedByUser: false,
  suspended: false,
  startAgain: false,
  removeVolumes: false,
  bootId: '',
  pid: 0,
  startedUnixNanos: 0,
  finishedUnixNanos: 0,
  exitCode: 0,
  oomKilled: false,
  error: '',
  restartCount: 0,
  quickExits: 0,
  restartsUnixMs: Object.freeze([]),
  restartAtUnixMs: 0,
});

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 60_000;
/** A container that stayed up this long has its back-off forgotten. */
const STEADY_MS = 10_000;
const NANOS_PER_MS = 1e6;

/** It has, or may have, a process. */
export function isActive(life: Lifecycle): boolean {
  return life.starting || life.state === 'running' || life.state === 'paused';
}

/** Milliseconds until the next automatic start after so many quick exits in a row. */
export function backoffMs(quickExits: number): number {
  return Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(quickExits, 20), LONGEST_BACKOFF_MS);
}

/** Automatic restarts that count against the policy's maximum. */
function restartsWithin(life: Lifecycle, policy: Policy, nowUnixMs: number): readonly number[] {
  const { windowMs = 0 } = policy;
  return life.restartsUnixMs.filter((at) => at > nowUnixMs - windowMs);
}

function hasRestartsLeft(life: Lifecycle, policy: Policy, nowUnixMs: number): boolean {
  if (policy.maximumRetryCount === 0) return true;
  const counted =
    policy.windowMs === undefined ? life.restartCount : restartsWithin(life, policy, nowUnixMs).length;
  return counted < policy.maximumRetryCount;
}

function policyRestarts(life: Lifecycle, policy: Policy, exitCode: number, nowUnixMs: number): boolean {
  if (life.stoppedByUser || life.suspended || life.desired === 'stopped') return false;
  switch (policy.name) {
    case 'no':
      return false;
    case 'always':
    case 'unless-stopped':
      return hasRestartsLeft(life, policy, nowUnixMs);
    case 'on-failure':
      return exitCode !== 0 && hasRestartsLeft(life, policy, nowUnixMs);
  }
}

/** The state after attempt N has ended, one way or the other. */
function afterEnd(
  life: Lifecycle,
  policy: Policy,
  end: { readonly exitCode: number; readonly upMs: number; readonly nowUnixMs: number },
): Lifecycle {
  const ended = { ...life, starting: false, pid: 0, exitCode: end.exitCode };
  if (life.startAgain)
    return { ...ended, state: 'restarting', quickExits: 0, restartAtUnixMs: end.nowUnixMs };
  if (!policyRestarts(life, policy, end.exitCode, end.nowUnixMs))
    return { ...ended, state: 'exited', quickExits: 0 };
  const quickExits = end.upMs >= STEADY_MS ? 0 : life.quickExits;
  const restartAtUnixMs = end.nowUnixMs + (policy.delayMs ?? backoffMs(quickExits));
  return {
    ...ended,
    state: 'restarting',
    quickExits: quickExits + 1,
    restartsUnixMs:
      policy.maximumRetryCount > 0 && policy.windowMs !== undefined
        ? [...restartsWithin(life, policy, end.nowUnixMs), restartAtUnixMs]
        : life.restartsUnixMs,
    restartAtUnixMs,
  };
}

function start(life: Lifecycle, event: LifecycleEvent & { type: 'start' }): Lifecycle {
  if (isActive(life) || life.state === 'removing' || life.state === 'dead') return life;
  // The user's own `restart` arrives here as due, but counts as a start by the user.
  const automatic = event.automatic && !life.startAgain;
  return {
    ...life,
    attempt: life.attempt + 1,
    starting: true,
    desired: 'running',
    stoppedByUser: false,
    suspended: false,
    startAgain: false,
    bootId: event.bootId,
    error: '',
    oomKilled: false,
    restartCount: automatic ? life.restartCount + 1 : 0,
    quickExits: automatic ? life.quickExits : 0,
    restartsUnixMs: automatic ? life.restartsUnixMs : NEW_LIFECYCLE.restartsUnixMs,
    restartAtUnixMs: 0,
  };
}

/** The next state; the very same object when the event is stale or does not apply. */
export function transition(life: Lifecycle, event: LifecycleEvent, policy: Policy): Lifecycle {
  switch (event.type) {
    case 'start':
      return start(life, event);
    case 'started':
      if (event.attempt !== life.attempt || !isActive(life) || life.state === 'removing') return life;
      return {
        ...life,
        state: life.state === 'paused' && !life.starting ? 'paused' : 'running',
        starting: false,
        pid: event.pid,
        startedUnixNanos: event.startedUnixNanos,
        finishedUnixNanos: 0,
        exitCode: 0,
      };
    case 'start-failed': {
      if (event.attempt !== life.attempt || !life.starting) return life;
      const failed = { ...life, error: event.error };
      // What the user started himself and never ran is his to correct; a restart is tried again as if it had exited.
      if (life.restartCount === 0 || life.state === 'removing')
        return {
          ...failed,
          starting: false,
          desired: 'stopped',
          exitCode: event.exitCode,
          pid: 0,
          state: life.state === 'restarting' ? 'exited' : life.state,
        };
      return afterEnd(failed, policy, { exitCode: event.exitCode, upMs: 0, nowUnixMs: event.nowUnixMs });
    }
    case 'exited': {
      if (event.attempt !== life.attempt || !isActive(life)) return life;
      const upMs = (event.finishedUnixNanos - life.startedUnixNanos) / NANOS_PER_MS;
      const ended = {
        ...life,
        oomKilled: event.oomKilled,
        error: event.error,
        finishedUnixNanos: event.finishedUnixNanos,
      };
      return afterEnd(ended, policy, { exitCode: event.exitCode, upMs, nowUnixMs: event.nowUnixMs });
    }
    case 'pause':
      return life.state === 'running' && !life.starting ? { ...life, state: 'paused' } : life;
    case 'unpause':
      return life.state === 'paused' ? { ...life, state: 'running' } : life;
    case 'stop':
      return stop(life, event.thenStart);
    case 'suspend':
      return suspend(life, policy);
    case 'remove':
      if (isActive(life)) return life;
      return {
        ...life,
        state: 'removing',
        desired: 'stopped',
        startAgain: false,
        removeVolumes: event.volumes,
      };
    case 'removal-failed':
      return life.state === 'removing' ? { ...life, state: 'dead', error: event.error } : life;
  }
}

function stop(life: Lifecycle, thenStart: boolean): Lifecycle {
  if (life.state === 'removing' || life.state === 'dead') return life;
  if (isActive(life))
    return { ...life, desired: 'stopped', stoppedByUser: !thenStart, startAgain: thenStart };
  if (thenStart) return life;
  const state = life.state === 'restarting' ? 'exited' : life.state;
  return { ...life, state, desired: 'stopped', stoppedByUser: true, startAgain: false, restartAtUnixMs: 0 };
}

/** What the node's going down does to a container: stop it, and remember whether the node's coming up starts it. */
function suspend(life: Lifecycle, policy: Policy): Lifecycle {
  if (life.state === 'removing' || life.state === 'dead' || life.attempt === 0) return life;
  const wanted = isActive(life) || life.state === 'restarting';
  const again =
    policy.name === 'always' ||
    (policy.name === 'unless-stopped' && wanted && !life.stoppedByUser && life.desired === 'running');
  const state = life.state === 'restarting' ? 'exited' : life.state;
  return { ...life, state, desired: 'stopped', startAgain: false, suspended: again, restartAtUnixMs: 0 };
}

import type { ResolvedHealthCheck } from '@gantry/oci';

export type HealthStatus = 'starting' | 'healthy' | 'unhealthy';

/** One check that has ended, as docker's State.Health.Log has it. */
export interface HealthResult {
  readonly startUnixMs: number;
  readonly endUnixMs: number;
  /** 0 healthy; -1 when it could not be run or ran out of time. */
  readonly exitCode: number;
  readonly output: string;
}

/** Where the health of one attempt stands. Pure: see nextHealth. */
export interface HealthState {
  readonly status: HealthStatus;
  readonly failingStreak: number;
  /** The latest, at most five. */
  readonly log: readonly HealthResult[];
}

export const FIRST_HEALTH: HealthState = Object.freeze({ status: 'starting', failingStreak: 0, log: [] });

const KEPT_RESULTS = 5;

/** The state after one more result; failures within the start period do not count until a first success. */
export function nextHealth(
  state: HealthState,
  result: HealthResult,
  check: ResolvedHealthCheck,
  startedUnixMs: number,
): HealthState {
  const log = [...state.log, result].slice(-KEPT_RESULTS);
  if (result.exitCode === 0) return { status: 'healthy', failingStreak: 0, log };
  const inStartPeriod = state.status === 'starting' && result.endUnixMs < startedUnixMs + check.startPeriodMs;
  if (inStartPeriod) return { ...state, log };
  const failingStreak = state.failingStreak + 1;
  return { status: failingStreak >= check.retries ? 'unhealthy' : state.status, failingStreak, log };
}

/** Milliseconds until the next check. */
export function nextCheckDelayMs(
  state: HealthState,
  check: ResolvedHealthCheck,
  startedUnixMs: number,
  nowUnixMs: number,
): number {
  const inStartPeriod = state.status === 'starting' && nowUnixMs < startedUnixMs + check.startPeriodMs;
  return inStartPeriod ? Math.min(check.startIntervalMs, check.intervalMs) : check.intervalMs;
}

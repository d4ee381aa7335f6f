import { isActive, type Lifecycle, type Policy } from './lifecycle.js';

/** Exit codes reported when the true one is lost. */
export const LOST_EXIT_CODE = 137;
export const REBOOT_EXIT_CODE = 255;

export interface ObservedExit {
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly error: string;
  readonly finishedUnixNanos: number;
}

/** What the spawner says of a container's process. */
export type ObservedProcess =
  | {
      readonly status: 'running';
      readonly attempt: number;
      readonly pid: number;
      readonly startedUnixNanos: number;
    }
  | { readonly status: 'exited'; readonly attempt: number; readonly exit: ObservedExit };

/** The truth as the services list it. */
export interface Observed {
  readonly process: ObservedProcess | undefined;
  readonly sandbox: boolean;
  readonly cgroup: boolean;
  readonly rootfs: boolean;
  readonly bootId: string;
  readonly nowUnixMs: number;
  /** The node has just come up: containers suspended by its going down start again. */
  readonly nodeStarted: boolean;
}

/** One thing to do; the executor performs them in order, and each may be repeated without harm. */
export type Step =
  | {
      readonly do: 'record-running';
      readonly attempt: number;
      readonly pid: number;
      readonly startedUnixNanos: number;
    }
  | { readonly do: 'record-exit'; readonly attempt: number; readonly exit: ObservedExit }
  | { readonly do: 'finish-start'; readonly attempt: number }
  | { readonly do: 'finish-stop' }
  | { readonly do: 'kill-process' }
  | { readonly do: 'forget-process' }
  | { readonly do: 'detach-sandbox' }
  | { readonly do: 'destroy-cgroup' }
  | { readonly do: 'release-rootfs' }
  | { readonly do: 'remove-volumes' }
  | { readonly do: 'delete-record' }
  | { readonly do: 'record-removal' }
  | { readonly do: 'start-automatically' }
  | { readonly do: 'await-restart'; readonly atUnixMs: number };

/** Gives back everything of an attempt that has ended. */
function releaseSteps(observed: Observed): Step[] {
  return [
    ...(observed.process === undefined ? [] : [{ do: 'forget-process' } as const]),
    ...(observed.sandbox ? [{ do: 'detach-sandbox' } as const] : []),
    ...(observed.cgroup ? [{ do: 'destroy-cgroup' } as const] : []),
  ];
}

function removalSteps(life: Lifecycle, observed: Observed): Step[] {
  const kill: Step[] = observed.process?.status === 'running' ? [{ do: 'kill-process' }] : [];
  return [
    ...kill,
    ...releaseSteps(observed),
    ...(observed.rootfs ? [{ do: 'release-rootfs' } as const] : []),
    ...(life.removeVolumes ? [{ do: 'remove-volumes' } as const] : []),
    { do: 'delete-record' },
  ];
}

/** The recorded attempt has no process to be seen. */
function lostSteps(life: Lifecycle, observed: Observed): Step[] {
  const rebooted = life.bootId !== observed.bootId;
  if (life.starting && !rebooted && life.desired === 'running')
    return [{ do: 'finish-start', attempt: life.attempt }];
  const exit: ObservedExit = {
    exitCode: rebooted ? REBOOT_EXIT_CODE : LOST_EXIT_CODE,
    oomKilled: false,
    error: rebooted ? 'the machine was restarted' : 'the process was lost, with its exit code',
    finishedUnixNanos: observed.nowUnixMs * 1e6,
  };
  return [{ do: 'record-exit', attempt: life.attempt, exit }];
}

function activeSteps(life: Lifecycle, observed: Observed): Step[] {
  const { process } = observed;
  if (process === undefined) return lostSteps(life, observed);
  if (process.attempt !== life.attempt) {
    // Another attempt than the recorded one must be gone before the recorded one may be made: never two.
    const clear: Step[] = [
      ...(process.status === 'running' ? [{ do: 'kill-process' } as const] : []),
      { do: 'forget-process' },
    ];
    return [...clear, ...lostSteps(life, observed)];
  }
  if (process.status === 'exited')
    return [{ do: 'record-exit', attempt: process.attempt, exit: process.exit }];
  const { attempt, pid, startedUnixNanos } = process;
  const adopt: Step[] =
    life.starting || life.pid !== pid ? [{ do: 'record-running', attempt, pid, startedUnixNanos }] : [];
  return life.desired === 'stopped' ? [...adopt, { do: 'finish-stop' }] : adopt;
}

/** At the node's coming up: does the policy bring this one back though it is not running? */
function returns(life: Lifecycle, policy: Policy, observed: Observed): boolean {
  if (life.state !== 'exited') return false;
  if (life.suspended) return observed.nodeStarted;
  return (
    policy.name === 'always' && life.attempt > 0 && life.bootId !== '' && life.bootId !== observed.bootId
  );
}

/**
 * What must be done so that the container is as its record says, given what the services list. Pure.
 * An empty answer means that all is well.
 */
export function decide(
  life: Lifecycle,
  observed: Observed,
  policy: Policy,
  options: { readonly autoRemove: boolean },
): readonly Step[] {
  if (life.state === 'removing') return removalSteps(life, observed);
  if (isActive(life)) return activeSteps(life, observed);
  const kill: Step[] = observed.process?.status === 'running' ? [{ do: 'kill-process' }] : [];
  const release = [...kill, ...releaseSteps(observed)];
  if (life.state === 'restarting')
    return [...release, { do: 'await-restart', atUnixMs: life.restartAtUnixMs }];
  if (life.state === 'dead') return [...release, { do: 'record-removal' }];
  if (life.state === 'exited' && options.autoRemove && !life.suspended)
    return [...release, { do: 'record-removal' }];
  if (returns(life, policy, observed)) return [...release, { do: 'start-automatically' }];
  return release;
}

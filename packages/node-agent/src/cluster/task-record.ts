import type { control } from '@gantry/protocol';
import { isEnded, isForward, type Desired, type TaskStateName } from './decide-task.js';

/** A task as this node remembers it: `<state_dir>/cluster/tasks/<id>.json`. */
export interface TaskRecord {
  readonly version: 1;
  readonly task: control.Task;
  /** A secret, for as long as the task may need its image. */
  readonly credential: control.RegistryCredential | undefined;
  readonly desired: Desired;
  readonly state: TaskStateName;
  readonly message: string;
  readonly changedUnixMs: number;
  /** Empty before it had a container. */
  readonly containerId: string;
  readonly exitCode: number | undefined;
}

const WIRE_STATES: Readonly<Record<TaskStateName, control.TaskState>> = {
  assigned: 'TASK_STATE_ASSIGNED',
  preparing: 'TASK_STATE_PREPARING',
  starting: 'TASK_STATE_STARTING',
  running: 'TASK_STATE_RUNNING',
  complete: 'TASK_STATE_COMPLETE',
  shutdown: 'TASK_STATE_SHUTDOWN',
  failed: 'TASK_STATE_FAILED',
  rejected: 'TASK_STATE_REJECTED',
  lost: 'TASK_STATE_LOST',
};

export const wireState = (state: TaskStateName): control.TaskState => WIRE_STATES[state];

function stateOf(state: control.TaskState | undefined): TaskStateName {
  const found = Object.entries(WIRE_STATES).find(([, wire]) => wire === state)?.[0];
  return (found as TaskStateName | undefined) ?? 'assigned';
}

const DESIRED: Readonly<Record<control.DesiredState, Desired>> = {
  DESIRED_STATE_UNSPECIFIED: 'running',
  DESIRED_STATE_RUNNING: 'running',
  DESIRED_STATE_SHUTDOWN: 'shutdown',
  DESIRED_STATE_REMOVED: 'removed',
};

const FIRMNESS: readonly Desired[] = ['running', 'shutdown', 'removed'];

/** Wishes, too, go forward only: what was to be removed is not wanted again. */
export function firmer(one: Desired, other: Desired): Desired {
  return FIRMNESS.indexOf(one) >= FIRMNESS.indexOf(other) ? one : other;
}

/** What a task in that state still needs of its credential: none once it has ended. */
const credentialFor = (
  state: TaskStateName,
  credential: control.RegistryCredential | undefined,
): control.RegistryCredential | undefined => (isEnded(state) ? undefined : credential);

/** A task that this node hears of for the first time: it goes on from where control knows it to be. */
export function newTaskRecord({ task, credential }: AssignedTask, nowUnixMs: number): TaskRecord {
  const { status } = task;
  const state = stateOf(status?.state);
  return Object.freeze({
    version: 1,
    task,
    credential: credentialFor(state, credential),
    desired: DESIRED[task.desired],
    state,
    message: status?.message ?? '',
    changedUnixMs: status?.changedUnixMs || nowUnixMs,
    containerId: status?.containerId ?? '',
    exitCode: status?.exitCode,
  });
}

export interface AssignedTask {
  readonly task: control.Task;
  readonly credential: control.RegistryCredential | undefined;
}

/** What another word of control changes: its wish, and the credential. The very same object when nothing. */
export function withOrders(record: TaskRecord, { task, credential: given }: AssignedTask): TaskRecord {
  const credential = credentialFor(record.state, given);
  const desired = firmer(record.desired, DESIRED[task.desired]);
  if (desired === record.desired && JSON.stringify(credential) === JSON.stringify(record.credential))
    return record;
  return Object.freeze({ ...record, desired, credential });
}

/** The task in its next state; the very same object when that would be a step back. */
export function inState(
  record: TaskRecord,
  next: { readonly state: TaskStateName; readonly message: string; readonly exitCode?: number },
  nowUnixMs: number,
): TaskRecord {
  if (!isForward(record.state, next.state)) return record;
  return Object.freeze({
    ...record,
    credential: credentialFor(next.state, record.credential),
    state: next.state,
    message: next.message,
    changedUnixMs: nowUnixMs,
    exitCode: next.exitCode ?? record.exitCode,
  });
}

/** Undefined for what is torn or of another layout. */
export function parseTaskRecord(text: string, id: string): TaskRecord | undefined {
  try {
    const value = JSON.parse(text) as Partial<TaskRecord> | null;
    if (value?.version !== 1 || value.task?.id !== id || value.state === undefined) return undefined;
    return Object.freeze({ ...(value as TaskRecord), exitCode: value.exitCode });
  } catch {
    return undefined;
  }
}

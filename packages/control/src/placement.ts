import type { control } from '@gantry/protocol';

/** Vocabulary of control's pure functions: what they look at, and what they say. */

export type Condition = 'ready' | 'restarting' | 'lost' | 'unknown';

/** A node as a decision sees it. */
export interface NodeView {
  readonly id: string;
  readonly record: control.NodeRecord;
  /** Absent until the node has told of itself to this leader. */
  readonly status: control.NodeStatus | undefined;
  readonly condition: Condition;
}

/** Nothing is decided twice about a task that has ended. */
const endedStates: ReadonlySet<control.TaskState> = new Set<control.TaskState>([
  'TASK_STATE_COMPLETE',
  'TASK_STATE_SHUTDOWN',
  'TASK_STATE_FAILED',
  'TASK_STATE_REJECTED',
  'TASK_STATE_LOST',
]);

export const stateOf = (task: control.Task): control.TaskState => task.status?.state ?? 'TASK_STATE_PENDING';
export const hasEnded = (task: control.Task): boolean => endedStates.has(stateOf(task));
export const isWanted = (task: control.Task): boolean => task.desired === 'DESIRED_STATE_RUNNING';
/** Wanted, and not yet at its end: it has or will have a container. */
export const isLive = (task: control.Task): boolean => isWanted(task) && !hasEnded(task);
/** Holds room on its node: also while it is being stopped, and after its node was lost, where it may run on. */
export const holdsRoom = (task: control.Task): boolean =>
  task.nodeId !== '' && (!hasEnded(task) || stateOf(task) === 'TASK_STATE_LOST');
export const isRunning = (task: control.Task): boolean =>
  stateOf(task) === 'TASK_STATE_RUNNING' && task.status?.health !== 'unhealthy';

/** "web_api" of stack web, "api" of none. */
export const displayName = (stack: string, name: string): string =>
  stack === '' ? name : `${stack}_${name}`;

/** Name of a task's container: "<stack>_<service>.<slot>.<task id>"; a global service's has its node in the slot's place. */
export const containerName = (task: control.Task): string =>
  `${displayName(task.stack, task.serviceName)}.${task.slot === 0 ? task.nodeId : task.slot}.${task.id}`;

/** "web_api.2", as people see a task. */
export const taskName = (task: control.Task): string =>
  `${displayName(task.stack, task.serviceName)}.${task.slot === 0 ? task.nodeId : task.slot}`;

/** Ports of the host that a task's container publishes. */
export function hostPortsOf(spec: control.ServiceSpec | undefined): control.HostPort[] {
  return (spec?.container?.ports ?? []).flatMap(({ hostPort, protocol, hostIp }) =>
    hostPort === 0 ? [] : [{ port: hostPort, protocol: protocol === '' ? 'tcp' : protocol, address: hostIp }],
  );
}

import type { control } from '@gantry/protocol';
import { refusalOfNode } from './filters.js';
import { hasEnded, hostPortsOf, isLive, isRunning, isWanted, stateOf, type NodeView } from './placement.js';
import { isCurrent } from './rollout.js';

const shownProblems = 5;

/** How far a service is from what it wants. Pure. */
export function progressOf(
  service: control.Service,
  tasks: readonly control.Task[],
  nodes: readonly NodeView[],
): control.ServiceProgress {
  const { spec } = service;
  const current = tasks.filter((task) => isWanted(task) && isCurrent(service, task));
  // A task that ended well, and is not started again, is as good as one that runs.
  const counts = (task: control.Task): boolean => isRunning(task) || stateOf(task) === 'TASK_STATE_COMPLETE';
  return {
    serviceId: service.id,
    stack: service.stack,
    name: spec?.name ?? '',
    mode: spec?.mode ?? 'SERVICE_MODE_UNSPECIFIED',
    wanted: service.removing ? 0 : wantedOf(spec, nodes),
    running: current.filter(counts).length,
    runningOld: tasks.filter((task) => !isCurrent(service, task) && !hasEnded(task) && isRunning(task))
      .length,
    problems: problemsOf(service, tasks),
    updateStatus: service.updateStatus,
    image: spec?.container?.image ?? '',
    ports: hostPortsOf(spec),
  };
}

function wantedOf(spec: control.ServiceSpec | undefined, nodes: readonly NodeView[]): number {
  if (spec?.mode !== 'SERVICE_MODE_GLOBAL') return spec?.replicas ?? 0;
  return nodes.filter(
    (node) =>
      node.condition !== 'lost' &&
      node.condition !== 'unknown' &&
      refusalOfNode({ ...node, condition: 'ready' }, spec) === undefined,
  ).length;
}

/** The same sentence once, newest first. */
function problemsOf(service: control.Service, tasks: readonly control.Task[]): string[] {
  const sentences = [...tasks]
    .filter((task) => isCurrent(service, task))
    .sort((a, b) => b.createdUnixMs - a.createdUnixMs)
    .flatMap((task) => {
      if (isLive(task) && task.placementMessage !== '') return [task.placementMessage];
      const failed = stateOf(task) === 'TASK_STATE_FAILED' || stateOf(task) === 'TASK_STATE_REJECTED';
      return failed && task.status?.message !== undefined && task.status.message !== ''
        ? [task.status.message]
        : [];
    });
  return [...new Set(sentences)].slice(0, shownProblems);
}

export const hasConverged = ({
  wanted,
  running,
  runningOld,
  updateStatus,
}: control.ServiceProgress): boolean =>
  running >= wanted &&
  runningOld === 0 &&
  updateStatus?.state !== 'updating' &&
  updateStatus?.state !== 'rolling_back';

/** Stands in the status of a rollback that the user wanted: it is no failure. */
export const rollbackAskedFor = 'asked for';

/** Why a roll-out has come to an end that is not the wanted one; undefined while it may still. */
export function failureOf({ name, updateStatus }: control.ServiceProgress): string | undefined {
  if (updateStatus?.state === 'paused') return `${name}: the update is paused: ${updateStatus.message}`;
  if (updateStatus?.state === 'rolled_back' && updateStatus.message !== rollbackAskedFor)
    return `${name}: the update was rolled back: ${updateStatus.message}`;
  return undefined;
}

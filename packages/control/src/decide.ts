import type { control } from '@gantry/protocol';
import type { ClusterState, Change } from './state.js';
import type { Step } from './steps.js';
import { TaskTable } from './task-table.js';

/** What steps ask of the store, each task written once however many steps concern it. */
export interface StepChanges {
  readonly changes: readonly Change[];
  /** Messages for people, found out again by the next leader. */
  readonly unwritten: readonly Change[];
}

/** Turns steps into changes, in the leader's term. Pure. */
export function changesOf(steps: readonly Step[], state: ClusterState, term: number): StepChanges {
  const touched = new TaskTable([]);
  const written = new Set<string>();
  const explained = new Set<string>();
  const statuses = new Set<string>();
  const removed = new Set<string>();
  const others: Change[] = [];
  for (const step of steps) {
    switch (step.type) {
      case 'update-service':
        others.push({ kind: 'service', id: step.service.id, value: step.service });
        break;
      case 'remove-service':
        others.push({ kind: 'service', id: step.serviceId, value: undefined });
        break;
      case 'remove-stack':
        others.push({ kind: 'stack', id: step.name, value: undefined });
        break;
      case 'create-task':
        touched.apply(step);
        written.add(step.task.id);
        break;
      case 'remove-task':
        removed.add(step.taskId);
        break;
      default: {
        const task = touched.get(step.taskId) ?? state.tasks.get(step.taskId);
        if (task === undefined) break;
        touched.set(task);
        touched.apply(step, term);
        if (step.type === 'explain-task') explained.add(step.taskId);
        else written.add(step.taskId);
        if (step.type === 'mark-lost') statuses.add(step.taskId);
      }
    }
  }
  const valueOf = (id: string): control.Task | undefined => touched.get(id);
  const changes: Change[] = [...latestOf(others)];
  for (const id of written) if (!removed.has(id)) changes.push({ kind: 'task', id, value: valueOf(id) });
  for (const id of statuses)
    if (!removed.has(id)) changes.push({ kind: 'status', id, value: valueOf(id)?.status });
  for (const id of removed) {
    if (state.tasks.get(id) === undefined) continue;
    changes.push({ kind: 'task', id, value: undefined }, { kind: 'status', id, value: undefined });
  }
  const unwritten: Change[] = [...explained]
    .filter((id) => !written.has(id) && !removed.has(id))
    .map((id) => ({ kind: 'task', id, value: valueOf(id) }));
  return { changes, unwritten };
}

/** Of several changes of one entry the last one counts. */
function latestOf(changes: readonly Change[]): Iterable<Change> {
  return new Map(changes.map((change) => [`${change.kind} ${change.id}`, change])).values();
}

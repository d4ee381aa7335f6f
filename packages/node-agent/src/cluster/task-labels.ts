import type { control } from '@gantry/protocol';
import type { Container } from '../container.js';

/** Labels by which a container says what it is to the cluster. */
export const taskLabels = {
  task: 'gantry.task.id',
  serviceId: 'gantry.service.id',
  serviceName: 'gantry.service.name',
  stack: 'gantry.stack',
  node: 'gantry.node.id',
} as const;

/** Id of the task that a container is; undefined for a container of this node's own users, whatever labels they gave it. */
export function taskIdOf({ record }: Container): string | undefined {
  const id = record.spec.labels[taskLabels.task];
  return id !== undefined && id !== '' && id === record.idempotencyKey ? id : undefined;
}

/** "shop_web", or "web" of no stack. */
export function displayName({ stack, serviceName }: control.Task): string {
  return stack === '' ? serviceName : `${stack}_${serviceName}`;
}

export function containerName(task: control.Task): string {
  return `${displayName(task)}.${task.slot === 0 ? task.nodeId : task.slot}.${task.id}`;
}

export function labelsOf(task: control.Task): Readonly<Record<string, string>> {
  return {
    [taskLabels.task]: task.id,
    [taskLabels.serviceId]: task.serviceId,
    [taskLabels.serviceName]: displayName(task),
    [taskLabels.stack]: task.stack,
    [taskLabels.node]: task.nodeId,
  };
}

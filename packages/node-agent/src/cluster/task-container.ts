import { node } from '@gantry/protocol';
import type { CreateRequest } from '../create-container.js';
import { refusal } from '../refuse.js';
import type { PullWish } from './image-pulls.js';
import { containerName, displayName, labelsOf } from './task-labels.js';
import type { TaskRecord } from './task-record.js';

function specOf({ task }: TaskRecord): node.ContainerSpec {
  const container = task.spec?.container;
  if (container !== undefined) return container;
  throw refusal('invalid_argument', 'RunTask', task.id, `task ${task.id} does not say what it is to run`);
}

/** The container of a task: its service's wish, named and labelled so that everybody knows whose it is. */
export function taskContainer(record: TaskRecord): CreateRequest {
  const { task } = record;
  const spec = specOf(record);
  const aliases = new Set([task.serviceName, ...spec.networkAliases]);
  return {
    name: containerName(task),
    idempotencyKey: task.id,
    spec: {
      // Written by a release that knew fewer fields, or kept as JSON: every field is there again.
      ...node.ContainerSpecCodec.decode(node.ContainerSpecCodec.encode(spec)),
      labels: { ...spec.labels, ...labelsOf(task) },
      // Its end is told to control before anything of it goes.
      autoRemove: false,
      networkScope: spec.networkScope || task.stack || displayName(task),
      networkAliases: [...aliases],
    },
  };
}

export function taskImage(record: TaskRecord): PullWish {
  const { credential } = record;
  return {
    reference: specOf(record).image,
    policy: record.task.spec?.pullPolicy || 'missing',
    username: credential?.username ?? '',
    password: credential?.password ?? '',
  };
}

import { control } from '@gantry/protocol';
import type { FastifyRequest } from 'fastify';
import { allPages } from '../bus-calls.js';
import { callControl } from '../control-calls.js';
import type { ApiParts } from '../parts.js';

const { ListServices, ListTasks } = control.Control.methods;

interface TaskChoice {
  readonly stack?: string;
  readonly service?: string;
  readonly node?: string;
  readonly runningOnly?: boolean;
}

export function listServices(
  bus: ApiParts['bus'],
  request: FastifyRequest,
  stack: string,
): Promise<control.ServiceProgress[]> {
  return allPages(
    (pageToken) => callControl(bus, request, ListServices, { stack, pageToken }),
    (page) => page.services,
  );
}

export function listTasks(
  bus: ApiParts['bus'],
  request: FastifyRequest,
  choice: TaskChoice,
): Promise<control.Task[]> {
  return allPages(
    (pageToken) => callControl(bus, request, ListTasks, { ...choice, pageToken }),
    (page) => page.tasks,
  );
}

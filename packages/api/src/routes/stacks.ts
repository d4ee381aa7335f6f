import { control } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import { callControl, logLines, sendControlLines } from '../control-calls.js';
import type { ApiParts } from '../parts.js';
import { credentialsSchema, deployStackSchema, logQuery, type LogQuery } from '../schemas/cluster-schemas.js';
import { closed, flag, text, uint32 } from '../schemas/schema.js';
import { listServices, listTasks } from './task-lists.js';

const { Control } = control;
const stackParams = closed({ stack: text('name', { minLength: 1 }) });
const serviceParams = closed({ service: text('id, unique id prefix or STACK_NAME', { minLength: 1 }) });

interface StackRoute {
  Params: { stack: string };
}
interface ServiceRoute {
  Params: { service: string };
}

/** Stacks: what a Compose file made. */
export function stackRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { bus } = parts;
  const tags = ['stacks'];

  app.get('/v1/stacks', { schema: { tags, summary: 'List stacks' } }, (request) =>
    callControl(bus, request, Control.methods.ListStacks, {}),
  );

  app.put<StackRoute & { Body: Omit<control.DeployStackRequest, 'name'> }>(
    '/v1/stacks/:stack',
    {
      schema: {
        tags,
        summary: "Create and update the stack's services",
        params: stackParams,
        body: deployStackSchema,
      },
    },
    (request) =>
      callControl(bus, request, Control.methods.DeployStack, { ...request.body, name: request.params.stack }),
  );

  app.delete<StackRoute>(
    '/v1/stacks/:stack',
    { schema: { tags, summary: 'Remove a stack: its tasks are stopped', params: stackParams } },
    (request) => callControl(bus, request, Control.methods.RemoveStack, { name: request.params.stack }),
  );

  app.get<StackRoute>(
    '/v1/stacks/:stack/services',
    { schema: { tags, summary: "The stack's services and how far they are", params: stackParams } },
    async (request) => ({ services: await listServices(bus, request, request.params.stack) }),
  );

  app.get<StackRoute>(
    '/v1/stacks/:stack/tasks',
    { schema: { tags, summary: "The stack's tasks", params: stackParams } },
    async (request) => ({ tasks: await listTasks(bus, request, request.params) }),
  );

  app.get<StackRoute>(
    '/v1/stacks/:stack/rollout',
    {
      schema: {
        tags: ['streams'],
        summary: 'Progress until all runs as wanted or cannot',
        params: stackParams,
      },
    },
    (request, reply) =>
      sendControlLines(parts, request, reply, Control.methods.WatchRollout, { stack: request.params.stack }),
  );

  app.get<StackRoute & { Querystring: LogQuery }>(
    '/v1/stacks/:stack/logs',
    {
      schema: {
        tags: ['streams'],
        summary: "Output of the stack's tasks from all nodes; data is base64",
        params: stackParams,
        querystring: logQuery,
      },
    },
    (request, reply) => {
      const asked = { ...request.query, stack: request.params.stack };
      return sendControlLines(parts, request, reply, Control.methods.ReadTaskLogs, asked, logLines);
    },
  );
}

/** Services and tasks of all stacks. */
export function serviceRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { bus } = parts;
  const tags = ['services'];

  app.get<{ Querystring: { stack?: string } }>(
    '/v1/services',
    {
      schema: {
        tags,
        summary: 'List services and how far they are',
        querystring: closed({ stack: text('of this stack alone') }),
      },
    },
    async (request) => ({ services: await listServices(bus, request, request.query.stack ?? '') }),
  );

  app.get<ServiceRoute>(
    '/v1/services/:service',
    { schema: { tags, summary: 'One service: its spec and how far it is', params: serviceParams } },
    (request) => callControl(bus, request, Control.methods.InspectService, request.params),
  );

  app.patch<ServiceRoute & { Body: Omit<control.UpdateServiceRequest, 'service'> }>(
    '/v1/services/:service',
    {
      schema: {
        tags,
        summary: 'Scale, take another image, take the spec before this one, or make every task anew',
        params: serviceParams,
        body: closed({
          replicas: uint32('tasks wanted'),
          image: text('another image'),
          rollback: flag('the spec before this one'),
          force: flag('every task anew'),
          credentials: credentialsSchema,
        }),
      },
    },
    (request) =>
      callControl(bus, request, Control.methods.UpdateService, { ...request.body, ...request.params }),
  );

  app.delete<ServiceRoute>(
    '/v1/services/:service',
    { schema: { tags, summary: 'Remove a service: its tasks are stopped', params: serviceParams } },
    async (request, reply) => {
      await callControl(bus, request, Control.methods.RemoveService, request.params);
      return reply.code(204).send();
    },
  );

  app.get<ServiceRoute>(
    '/v1/services/:service/tasks',
    { schema: { tags, summary: "The service's tasks", params: serviceParams } },
    async (request) => ({ tasks: await listTasks(bus, request, request.params) }),
  );

  app.get<ServiceRoute>(
    '/v1/services/:service/rollout',
    {
      schema: {
        tags: ['streams'],
        summary: 'Progress until all runs as wanted or cannot',
        params: serviceParams,
      },
    },
    (request, reply) => sendControlLines(parts, request, reply, Control.methods.WatchRollout, request.params),
  );

  app.get<ServiceRoute & { Querystring: LogQuery }>(
    '/v1/services/:service/logs',
    {
      schema: {
        tags: ['streams'],
        summary: "Output of the service's tasks from all nodes; data is base64",
        params: serviceParams,
        querystring: logQuery,
      },
    },
    (request, reply) => {
      const asked = { ...request.query, ...request.params };
      return sendControlLines(parts, request, reply, Control.methods.ReadTaskLogs, asked, logLines);
    },
  );

  app.get<{ Querystring: { stack?: string; service?: string; node?: string; runningOnly?: boolean } }>(
    '/v1/tasks',
    {
      schema: {
        tags: ['tasks'],
        summary: 'List tasks',
        querystring: closed({
          stack: text('of this stack; at most one of stack, service and node'),
          service: text('of this service'),
          node: text('of this node'),
          runningOnly: flag('only those that are wanted'),
        }),
      },
    },
    async (request) => ({ tasks: await listTasks(bus, request, request.query) }),
  );

  app.get<{ Params: { task: string }; Querystring: LogQuery }>(
    '/v1/tasks/:task/logs',
    {
      schema: {
        tags: ['streams'],
        summary: 'Output of one task; data is base64',
        params: closed({ task: text('id', { minLength: 1 }) }),
        querystring: logQuery,
      },
    },
    (request, reply) => {
      const asked = { ...request.query, ...request.params };
      return sendControlLines(parts, request, reply, Control.methods.ReadTaskLogs, asked, logLines);
    },
  );
}

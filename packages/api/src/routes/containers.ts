import { node } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import { allPages, callerOf, deadlines, parseFilters } from '../bus-calls.js';
import type { ApiParts } from '../parts.js';
import {
  containerParams,
  createContainerSchema,
  createExecSchema,
  killSchema,
  renameSchema,
  resizeSchema,
  stopSchema,
  updateContainerSchema,
} from '../schemas/container-schemas.js';
import { closed, flag, list, texts, uint32 } from '../schemas/schema.js';

const methods = node.NodeAgent.methods;
const tags = ['containers'];

interface ContainerRoute {
  Params: { container: string };
}

interface StopBody {
  timeoutSeconds?: number;
  signal?: string;
}

/** A stop lasts as long as the container is given, and then its removal from the kernel. */
const stopDeadlineMs = (timeoutSeconds: number | undefined): number =>
  timeoutSeconds === undefined ? deadlines.patientMs : timeoutSeconds * 1000 + deadlines.slowMs;

/** Life of containers: everything that is one request and one answer. */
export function containerRoutes(app: FastifyInstance, { bus }: ApiParts): void {
  app.post<{ Body: node.CreateContainerRequest }>(
    '/v1/containers',
    { schema: { tags, summary: 'Create a container', body: createContainerSchema } },
    async (request, reply) => {
      const created = await callerOf(bus, request).call(
        methods.CreateContainer,
        request.body,
        deadlines.slowMs,
      );
      return reply.code(201).send(created);
    },
  );

  app.get<{ Querystring: { all?: boolean; size?: boolean; filter?: string[] } }>(
    '/v1/containers',
    {
      schema: {
        tags,
        summary: 'List containers',
        querystring: closed({
          all: flag('also those that do not run'),
          size: flag('with the bytes each has written'),
          filter: list({ type: 'string' }, 'KEY=VALUE, repeatable: id, name, label, status, ancestor, ...'),
        }),
      },
    },
    async (request) => {
      const caller = callerOf(bus, request);
      const { all = false, size = false, filter } = request.query;
      const filters = parseFilters(filter, 'ListContainers');
      const deadlineMs = size ? deadlines.patientMs : deadlines.quickMs;
      const containers = await allPages(
        (pageToken) => caller.call(methods.ListContainers, { all, size, filters, pageToken }, deadlineMs),
        (page) => page.containers,
      );
      return { containers };
    },
  );

  app.get<ContainerRoute>(
    '/v1/containers/:container',
    { schema: { tags, summary: "A container's whole state, docker-shaped", params: containerParams } },
    async (request, reply) => {
      const { json } = await callerOf(bus, request).call(methods.InspectContainer, request.params);
      return reply.type('application/json; charset=utf-8').send(Buffer.from(json));
    },
  );

  app.patch<ContainerRoute & { Body: Pick<node.UpdateContainerRequest, 'resources' | 'restartPolicy'> }>(
    '/v1/containers/:container',
    {
      schema: {
        tags,
        summary: 'Change limits or the restart policy',
        params: containerParams,
        body: updateContainerSchema,
      },
    },
    (request) => callerOf(bus, request).call(methods.UpdateContainer, { ...request.params, ...request.body }),
  );

  app.delete<ContainerRoute & { Querystring: { force?: boolean; volumes?: boolean } }>(
    '/v1/containers/:container',
    {
      schema: {
        tags,
        summary: 'Remove a container',
        params: containerParams,
        querystring: closed({ force: flag('kill it first'), volumes: flag('and its anonymous volumes') }),
      },
    },
    async (request, reply) => {
      const asked = { ...request.params, ...request.query };
      await callerOf(bus, request).call(methods.RemoveContainer, asked, deadlines.slowMs);
      return reply.code(204).send();
    },
  );

  app.post<ContainerRoute>(
    '/v1/containers/:container/start',
    { schema: { tags, summary: 'Start', params: containerParams } },
    (request) => callerOf(bus, request).call(methods.StartContainer, request.params, deadlines.slowMs),
  );

  for (const [verb, method] of [
    ['stop', methods.StopContainer],
    ['restart', methods.RestartContainer],
  ] as const)
    app.post<ContainerRoute & { Body: StopBody | undefined }>(
      `/v1/containers/:container/${verb}`,
      {
        schema: {
          tags,
          summary: verb === 'stop' ? 'Stop' : 'Stop and start',
          params: containerParams,
          body: stopSchema,
        },
      },
      async (request, reply) => {
        const asked = { ...request.params, ...request.body };
        await callerOf(bus, request).call(method, asked, stopDeadlineMs(request.body?.timeoutSeconds));
        return reply.code(204).send();
      },
    );

  app.post<ContainerRoute & { Body: { signal?: string } | undefined }>(
    '/v1/containers/:container/kill',
    {
      schema: {
        tags,
        summary: 'Send a signal to the first process',
        params: containerParams,
        body: killSchema,
      },
    },
    async (request, reply) => {
      await callerOf(bus, request).call(methods.KillContainer, { ...request.params, ...request.body });
      return reply.code(204).send();
    },
  );

  for (const [verb, method] of [
    ['pause', methods.PauseContainer],
    ['unpause', methods.UnpauseContainer],
  ] as const)
    app.post<ContainerRoute>(
      `/v1/containers/:container/${verb}`,
      {
        schema: {
          tags,
          summary: verb === 'pause' ? 'Freeze all processes' : 'Thaw all processes',
          params: containerParams,
        },
      },
      async (request, reply) => {
        await callerOf(bus, request).call(method, request.params);
        return reply.code(204).send();
      },
    );

  app.post<ContainerRoute & { Body: { name: string } }>(
    '/v1/containers/:container/rename',
    { schema: { tags, summary: 'Rename', params: containerParams, body: renameSchema } },
    async (request, reply) => {
      await callerOf(bus, request).call(methods.RenameContainer, { ...request.params, ...request.body });
      return reply.code(204).send();
    },
  );

  app.get<ContainerRoute & { Querystring: { argument?: string[] } }>(
    '/v1/containers/:container/processes',
    {
      schema: {
        tags,
        summary: 'Processes inside, as ps shows them',
        params: containerParams,
        querystring: closed({ argument: texts('argument for ps, repeatable; none means -ef') }),
      },
    },
    (request) =>
      callerOf(bus, request).call(methods.ListContainerProcesses, {
        ...request.params,
        psArguments: request.query.argument ?? [],
      }),
  );

  app.get<ContainerRoute>(
    '/v1/containers/:container/explain',
    {
      schema: {
        tags,
        summary: 'What isolates the container, from live kernel facts',
        params: containerParams,
      },
    },
    (request) => callerOf(bus, request).call(methods.ExplainContainer, request.params),
  );

  app.post<ContainerRoute & { Body: { rows: number; columns: number } }>(
    '/v1/containers/:container/resize',
    {
      schema: {
        tags,
        summary: "Resize the first process's terminal",
        params: containerParams,
        body: resizeSchema,
      },
    },
    async (request, reply) => {
      await callerOf(bus, request).call(methods.ResizeTerminal, { ...request.params, ...request.body });
      return reply.code(204).send();
    },
  );

  app.post<ContainerRoute & { Body: Omit<node.CreateExecRequest, 'container'> }>(
    '/v1/containers/:container/execs',
    {
      schema: { tags, summary: 'Prepare one more process', params: containerParams, body: createExecSchema },
    },
    async (request, reply) => {
      const asked = { ...request.body, ...request.params };
      return reply.code(201).send(await callerOf(bus, request).call(methods.CreateExec, asked));
    },
  );

  app.get<{ Params: { exec: string } }>(
    '/v1/execs/:exec',
    { schema: { tags, summary: 'State of an additional process' } },
    (request) => callerOf(bus, request).call(methods.InspectExec, { execId: request.params.exec }),
  );

  app.post<{ Params: { exec: string }; Body: { rows: number; columns: number } }>(
    '/v1/execs/:exec/resize',
    { schema: { tags, summary: "Resize an additional process's terminal", body: resizeSchema } },
    async (request, reply) => {
      await callerOf(bus, request).call(methods.ResizeTerminal, {
        execId: request.params.exec,
        ...request.body,
      });
      return reply.code(204).send();
    },
  );

  app.post<{ Body: { timeoutSeconds?: number } | undefined }>(
    '/v1/containers/stop-all',
    {
      schema: {
        tags,
        summary: 'Stop every container of this node; policies start them again at the next start of the node',
        body: closed({ timeoutSeconds: uint32("seconds until SIGKILL; absent: each container's own") }),
      },
    },
    (request) =>
      callerOf(bus, request).call(
        methods.StopAllContainers,
        request.body ?? {},
        stopDeadlineMs(request.body?.timeoutSeconds),
      ),
  );

  app.post(
    '/v1/containers/prune',
    { schema: { tags, summary: 'Remove all containers that do not run' } },
    (request) => callerOf(bus, request).call(methods.PruneContainers, {}, deadlines.patientMs),
  );
}

import { node } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import { allPages, callerOf, deadlines } from '../bus-calls.js';
import type { ApiParts } from '../parts.js';
import { closed, flag, message, text, textMap } from '../schemas/schema.js';

const methods = node.NodeAgent.methods;
const tags = ['volumes'];

export function volumeRoutes(app: FastifyInstance, { bus }: ApiParts): void {
  app.get<{ Querystring: { size?: boolean } }>(
    '/v1/volumes',
    {
      schema: { tags, summary: 'List volumes', querystring: closed({ size: flag('with the size of each') }) },
    },
    async (request) => {
      const caller = callerOf(bus, request);
      const { size = false } = request.query;
      const volumes = await allPages(
        (pageToken) =>
          caller.call(
            methods.ListVolumes,
            { size, pageToken },
            size ? deadlines.patientMs : deadlines.quickMs,
          ),
        (page) => page.volumes,
      );
      return { volumes };
    },
  );

  app.post<{ Body: node.CreateVolumeRequest }>(
    '/v1/volumes',
    {
      schema: {
        tags,
        summary: 'Create a volume',
        body: message<node.CreateVolumeRequest>({
          name: text('empty: a name is made up'),
          labels: textMap('labels'),
        }),
      },
    },
    async (request, reply) => {
      const { volume } = await callerOf(bus, request).call(methods.CreateVolume, request.body);
      return reply.code(201).send(volume);
    },
  );

  app.delete<{ Params: { volume: string }; Querystring: { force?: boolean } }>(
    '/v1/volumes/:volume',
    {
      schema: {
        tags,
        summary: 'Remove a volume',
        querystring: closed({ force: flag('succeed when there is none of that name') }),
      },
    },
    async (request, reply) => {
      const asked = { name: request.params.volume, force: request.query.force ?? false };
      await callerOf(bus, request).call(methods.RemoveVolume, asked, deadlines.slowMs);
      return reply.code(204).send();
    },
  );

  app.post<{ Body: { all?: boolean } | undefined }>(
    '/v1/volumes/prune',
    {
      schema: {
        tags,
        summary: 'Remove volumes that no container uses',
        body: closed({ all: flag('also named ones') }),
      },
    },
    (request) =>
      callerOf(bus, request).call(
        methods.PruneVolumes,
        { all: request.body?.all ?? false },
        deadlines.patientMs,
      ),
  );
}

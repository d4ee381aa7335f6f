import { control } from '@gantry/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { allPages } from '../bus-calls.js';
import { callControl } from '../control-calls.js';
import type { ApiParts } from '../parts.js';
import { availabilityNames } from '../schemas/cluster-schemas.js';
import { closed, flag, oneOf, text, textMap, texts } from '../schemas/schema.js';

const { Control } = control;
const tags = ['nodes'];
const params = closed({ node: text('id, unique id prefix or unique host name', { minLength: 1 }) });

interface NodeRoute {
  Params: { node: string };
}

interface NodeChange {
  labelsAdd?: Record<string, string>;
  labelsRemove?: string[];
  availability?: keyof typeof availabilityNames;
}

/** Nodes of the cluster, by whatever names them without doubt. */
export function clusterNodeRoutes(app: FastifyInstance, { bus }: ApiParts): void {
  const list = (request: FastifyRequest, node = ''): Promise<control.Node[]> => listNodes(bus, request, node);

  app.get('/v1/nodes', { schema: { tags, summary: 'List nodes' } }, async (request) => ({
    nodes: await list(request),
  }));

  app.get<NodeRoute>(
    '/v1/nodes/:node',
    { schema: { tags, summary: 'One node', params } },
    async (request) => {
      // Control refuses a name that none or several have.
      const [found] = await list(request, request.params.node);
      return found;
    },
  );

  app.patch<NodeRoute & { Body: NodeChange }>(
    '/v1/nodes/:node',
    {
      schema: {
        tags,
        summary: 'Change labels or availability',
        params,
        body: closed({
          labelsAdd: textMap('set these'),
          labelsRemove: texts('take these away'),
          availability: oneOf(Object.keys(availabilityNames), 'active takes tasks; drain gives them away'),
        }),
      },
    },
    async (request) => {
      const { labelsAdd = {}, labelsRemove = [], availability } = request.body;
      const changed = await callControl(bus, request, Control.methods.UpdateNode, {
        ...request.params,
        labelsAdd,
        labelsRemove,
        ...(availability === undefined ? {} : { availability: availabilityNames[availability] }),
      });
      return changed.node;
    },
  );

  app.delete<NodeRoute & { Querystring: { force?: boolean } }>(
    '/v1/nodes/:node',
    {
      schema: {
        tags,
        summary: 'Remove a node: its credentials end at once',
        params,
        querystring: closed({ force: flag('although it is ready') }),
      },
    },
    async (request, reply) => {
      const asked = { ...request.params, force: request.query.force ?? false };
      await callControl(bus, request, Control.methods.RemoveNode, asked);
      return reply.code(204).send();
    },
  );
}

export function listNodes(bus: ApiParts['bus'], request: FastifyRequest, node = ''): Promise<control.Node[]> {
  return allPages(
    (pageToken) => callControl(bus, request, Control.methods.ListNodes, { node, pageToken }),
    (page) => page.nodes,
  );
}

import { control, node } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import { callerOf, deadlines } from '../bus-calls.js';
import { callControl, sendControlLines } from '../control-calls.js';
import type { ApiParts } from '../parts.js';
import { joinNodeSchema, roleNames } from '../schemas/cluster-schemas.js';
import { closed, flag, oneOf, text, uint32, unixNanos } from '../schemas/schema.js';

const membership = node.Membership.methods;
const { Control } = control;
const tags = ['cluster'];

/** The node's place in a cluster, and the cluster as a whole. */
export function clusterRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { bus } = parts;
  membershipRoutes(app, parts);

  app.get('/v1/cluster', { schema: { tags, summary: 'The cluster as control sees it' } }, (request) =>
    callControl(bus, request, Control.methods.GetCluster, {}),
  );

  app.post<{ Body: { role?: keyof typeof roleNames; ttlSeconds?: number } }>(
    '/v1/cluster/tokens',
    {
      schema: {
        tags,
        summary: 'Make a token that lets one node in, once',
        body: closed({
          role: oneOf(Object.keys(roleNames), 'what the node is to be; absent means worker'),
          ttlSeconds: uint32('60 to 2,592,000; absent means a day'),
        }),
      },
    },
    async (request, reply) => {
      const { role = 'worker', ttlSeconds = 0 } = request.body;
      const asked = { role: roleNames[role], ttlSeconds };
      return reply.code(201).send(await callControl(bus, request, Control.methods.CreateJoinToken, asked));
    },
  );

  app.post<{ Body: control.JoinNodeRequest }>(
    '/v1/cluster/members',
    {
      schema: {
        tags,
        summary: 'Take a node in: asked by the node itself, with a join token',
        body: joinNodeSchema,
      },
    },
    (request) => callControl(bus, request, Control.methods.JoinNode, request.body),
  );

  app.post(
    '/v1/cluster/accept-store',
    {
      schema: {
        tags,
        summary: 'End a freeze: the store is taken as it is, and what it does not know is stopped',
        body: closed({}),
      },
    },
    (request) => callControl(bus, request, Control.methods.AcceptStore, {}),
  );

  app.get<{ Querystring: { sinceUnixNanos?: number } }>(
    '/v1/cluster/events',
    {
      schema: {
        tags: ['streams'],
        summary: 'What happens in the cluster, one line an event',
        querystring: closed({ sinceUnixNanos: unixNanos('also kept events from here') }),
      },
    },
    (request, reply) =>
      sendControlLines(
        parts,
        request,
        reply,
        Control.methods.WatchClusterEvents,
        request.query,
        ({ event }) => (event === undefined ? [] : [event]),
      ),
  );

  app.get<{ Querystring: { limit?: number } }>(
    '/v1/cluster/audit',
    {
      schema: {
        tags,
        summary: 'Who changed what, the newest first',
        querystring: closed({ limit: uint32('entries; absent means 100', { maximum: 1000 }) }),
      },
    },
    (request) => callControl(bus, request, Control.methods.ListAuditEntries, request.query),
  );
}

/** Answered by the node itself: also outside every cluster, and when it is cut off from its own. */
function membershipRoutes(app: FastifyInstance, { bus, membershipChanged }: ApiParts): void {
  app.get(
    '/v1/cluster/membership',
    { schema: { tags, summary: "This node's own place: its cluster, its role, whether it is connected" } },
    (request) => callerOf(bus, request).call(membership.GetMembership, {}),
  );

  app.post<{ Body: node.InitClusterRequest }>(
    '/v1/cluster/init',
    {
      schema: {
        tags,
        summary: 'Make a cluster of this one node',
        body: closed({
          address: text("where other nodes reach this one; empty: the default route's address"),
        }),
      },
    },
    async (request, reply) => {
      const made = await callerOf(bus, request)
        .call(membership.InitCluster, request.body, deadlines.slowMs)
        .finally(membershipChanged);
      return reply.code(201).send(made);
    },
  );

  app.post<{ Body: node.JoinClusterRequest }>(
    '/v1/cluster/join',
    {
      schema: {
        tags,
        summary: 'Join a cluster; answers when this node is connected to it',
        body: closed(
          {
            controlAddress: text("ADDRESS[:PORT] of a control node's api over TLS", { minLength: 1 }),
            token: text('a join token of that cluster', { minLength: 1 }),
            address: text("where other nodes reach this one; empty: the default route's address"),
          },
          ['controlAddress', 'token'],
        ),
      },
    },
    (request) =>
      callerOf(bus, request)
        .call(membership.JoinCluster, request.body, deadlines.slowMs)
        .finally(membershipChanged),
  );

  app.post<{ Body: { force?: boolean } }>(
    '/v1/cluster/leave',
    {
      schema: {
        tags,
        summary: "Stop this node's tasks and leave the cluster",
        body: closed({ force: flag('also when control cannot be told, or this is the last control node') }),
      },
    },
    (request) =>
      callerOf(bus, request)
        .call(membership.LeaveCluster, request.body, deadlines.slowMs)
        .finally(membershipChanged),
  );
}

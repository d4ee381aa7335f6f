import { control } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import { callControl } from '../control-calls.js';
import type { ApiParts } from '../parts.js';
import { closed, oneOf, text, uint32 } from '../schemas/schema.js';

const { Control } = control;

/** Tokens for this api from elsewhere. */
export function tokenRoutes(app: FastifyInstance, { bus }: ApiParts): void {
  const tags = ['tokens'];

  app.get(
    '/v1/api-tokens',
    { schema: { tags, summary: 'List tokens, without their secrets' } },
    async (request) => {
      const { tokens } = await callControl(bus, request, Control.methods.ListApiTokens, {});
      return { tokens: tokens.map(withoutSecret) };
    },
  );

  app.post<{ Body: { name: string; role: string; ttlSeconds?: number } }>(
    '/v1/api-tokens',
    {
      schema: {
        tags,
        summary: 'Make a token; it is shown this once',
        body: closed(
          {
            name: text('how the audit log names its bearer', { minLength: 1, maxLength: 64 }),
            role: oneOf(
              ['admin', 'read', 'metrics'],
              'admin equals root on every node; metrics is for /v1/metrics and /v1/discovery/prometheus alone',
            ),
            ttlSeconds: uint32('absent or 0: it never ends'),
          },
          ['name', 'role'],
        ),
      },
    },
    async (request, reply) => {
      const { token, stored } = await callControl(bus, request, Control.methods.CreateApiToken, request.body);
      return reply
        .code(201)
        .send({ token, stored: stored === undefined ? undefined : withoutSecret(stored) });
    },
  );

  app.delete<{ Params: { token: string } }>(
    '/v1/api-tokens/:token',
    {
      schema: {
        tags,
        summary: 'Revoke a token',
        params: closed({ token: text('id or name', { minLength: 1 }) }),
      },
    },
    async (request, reply) => {
      await callControl(bus, request, Control.methods.RevokeApiToken, request.params);
      return reply.code(204).send();
    },
  );
}

const withoutSecret = ({
  secretSha256: _,
  ...rest
}: control.ApiToken): Omit<control.ApiToken, 'secretSha256'> => rest;

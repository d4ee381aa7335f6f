import { randomUUID } from 'node:crypto';
import swagger from '@fastify/swagger';
import { GantryError } from '@gantry/protocol';
import { Ajv, type ValidateFunction } from 'ajv';
import fastify, { type FastifyInstance } from 'fastify';
import { admit, asksForToken } from './admission.js';
import { describeRefusal, errorReply, statusOf, toGantryError } from './error-reply.js';
import type { ApiMetrics } from './metrics.js';
import type { ApiParts } from './parts.js';
import { attachRoutes } from './routes/attach.js';
import { containerStreamRoutes } from './routes/container-streams.js';
import { clusterNodeRoutes } from './routes/cluster-nodes.js';
import { clusterRoutes } from './routes/cluster.js';
import { containerRoutes } from './routes/containers.js';
import { imageRoutes } from './routes/images.js';
import { metricsRoutes } from './routes/metrics.js';
import { nodeRoutes } from './routes/node.js';
import { serviceRoutes, stackRoutes } from './routes/stacks.js';
import { tokenRoutes } from './routes/tokens.js';
import { volumeRoutes } from './routes/volumes.js';
import { responsesOf } from './schemas/answers.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks, for the audit log: see admission.ts. */
    actor: string;
  }
}

/** As much as a message of the bus may hold; image archives are streamed and not counted. */
const bodyLimitBytes = 512 * 1024;

/** The HTTP application: routes over the bus, schemas at the edge, one shape for errors. */
export async function createApplication(parts: ApiParts): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: bodyLimitBytes,
    forceCloseConnections: 'idle',
    // Whoever got in while the door closes is answered as usual: fastify's own refusal has another shape.
    return503OnClosing: false,
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    routerOptions: { maxParamLength: 1024 },
  });
  validateStrictly(app);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Gantry',
        version: parts.version,
        description: 'Containers of one node, and stacks of its cluster.',
      },
    },
  });
  app.addContentTypeParser(['application/x-tar', 'application/octet-stream'], (_request, payload, done) =>
    done(null, payload),
  );
  describeAnswers(app);
  reportErrors(app, parts);
  measure(app, parts.metrics);
  askWhoAsks(app, parts);

  containerRoutes(app, parts);
  containerStreamRoutes(app, parts);
  attachRoutes(app, parts);
  imageRoutes(app, parts);
  volumeRoutes(app, parts);
  nodeRoutes(app, parts);
  clusterRoutes(app, parts);
  clusterNodeRoutes(app, parts);
  stackRoutes(app, parts);
  serviceRoutes(app, parts);
  tokenRoutes(app, parts);
  metricsRoutes(app, parts);
  for (const path of ['/v1/openapi.json', '/openapi.json'])
    app.get(path, { schema: { hide: true } }, () => app.swagger());
  await app.ready();
  return app;
}

const requestIdOf = (given: string | string[] | undefined): string =>
  typeof given === 'string' && /^[\w-]{1,64}$/.test(given) ? given : randomUUID();

/**
 * Bodies are taken as they are; the text of a query is read as the type its schema names. Most routes of most nodes are
 * never called: a schema is compiled when the first request needs it.
 */
function validateStrictly(app: FastifyInstance): void {
  const strict = new Ajv({ strict: false });
  const coercing = new Ajv({ strict: false, coerceTypes: 'array' });
  app.setValidatorCompiler<Record<string, unknown>>(({ schema, httpPart = '' }) => {
    let validate: ValidateFunction | undefined;
    return (value: unknown) => {
      validate ??= (httpPart === 'body' ? strict : coercing).compile(schema);
      if (validate(value)) return { value };
      return {
        error: Object.assign(new Error(describeRefusal(validate.errors ?? [], httpPart)), {
          statusCode: 400,
        }),
      };
    };
  });
  // No body says the same as an empty one.
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.routeOptions.schema?.body !== undefined) request.body ??= {};
    done();
  });
  // Answers come from typed messages; there is nothing to filter out of them.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
}

/** Before anything of the request is read: who may not ask is not listened to. */
function askWhoAsks(app: FastifyInstance, { bus }: ApiParts): void {
  app.decorateRequest('actor', '');
  app.addHook('onRequest', async (request) => {
    request.actor = await admit(bus, request.raw, request.routeOptions.url);
  });
}

/** For the OpenAPI document alone. */
function describeAnswers(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    if (typeof route.method !== 'string' || route.schema === undefined) return;
    route.schema.response ??= responsesOf(route.method, route.url);
  });
}

function reportErrors(app: FastifyInstance, { logger }: ApiParts): void {
  app.setErrorHandler((error, request, reply) => {
    const route = `${request.method} ${request.routeOptions.url ?? request.url}`;
    const failure = toGantryError(error, route);
    if (failure.code === 'internal' || failure.code === 'data_loss')
      logger.error({ request: request.id, operation: failure.operation, err: failure }, 'request failed');
    if (asksForToken(failure))
      return reply.code(401).header('www-authenticate', 'Bearer realm="gantry"').send(errorReply(failure));
    return reply.code(statusOf(failure.code)).send(errorReply(failure));
  });
  app.setNotFoundHandler((request, reply) => {
    const route = `${request.method} ${request.url.split('?')[0] ?? ''}`;
    const failure = new GantryError({
      code: 'not_found',
      operation: route,
      object: route,
      message: `this api has no ${route}; see /v1/openapi.json`,
    });
    return reply.code(404).send(errorReply(failure));
  });
}

function measure(app: FastifyInstance, { requestSeconds }: ApiMetrics): void {
  app.addHook('onSend', async (request, reply) => {
    await Promise.resolve();
    void reply.header('x-request-id', request.id);
  });
  app.addHook('onResponse', (request, reply, done) => {
    if (request.routeOptions.schema?.tags?.includes('streams') !== true)
      requestSeconds.observe(
        {
          method: request.method,
          route: request.routeOptions.url ?? 'unknown',
          status: String(reply.statusCode),
        },
        reply.elapsedTime / 1000,
      );
    done();
  });
}

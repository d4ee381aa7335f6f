import type { Readable } from 'node:stream';
import { image } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import { allPages, callerOf, deadlines } from '../bus-calls.js';
import { clientGone, jsonLines, sendStream } from '../http-stream.js';
import type { ApiParts } from '../parts.js';
import { closed, flag, message, oneOf, text } from '../schemas/schema.js';
import { spoolBody } from '../spool.js';

const methods = image.ImageStore.methods;
const tags = ['images'];
const imageParams = closed({
  image: text('reference, id or unique id prefix, percent-encoded', { minLength: 1 }),
});

interface ImageRoute {
  Params: { image: string };
}

const withoutConfig = ({ configJson: _, ...rest }: image.Image): Omit<image.Image, 'configJson'> => rest;

function withConfig({ configJson, ...rest }: image.Image): unknown {
  return { ...rest, config: JSON.parse(Buffer.from(configJson).toString() || '{}') as unknown };
}

const progressLine = ({ layer, image: made }: image.PullImageResponse): unknown =>
  made === undefined ? { layer } : { image: withoutConfig(made) };

/** Images: list, look, pull, load, tag, remove. */
export function imageRoutes(app: FastifyInstance, { bus, streams, metrics, spoolDirectory }: ApiParts): void {
  app.get('/v1/images', { schema: { tags, summary: 'List images' } }, async (request) => {
    const caller = callerOf(bus, request);
    const images = await allPages(
      (pageToken) => caller.call(methods.ListImages, { pageToken }),
      (page) => page.images.map(withoutConfig),
    );
    return { images };
  });

  app.get<ImageRoute>(
    '/v1/images/:image',
    { schema: { tags, summary: 'An image with its configuration', params: imageParams } },
    async (request) => {
      const { image: found } = await callerOf(bus, request).call(methods.GetImage, {
        name: request.params.image,
      });
      return found === undefined ? {} : withConfig(found);
    },
  );

  app.delete<ImageRoute & { Querystring: { force?: boolean } }>(
    '/v1/images/:image',
    {
      schema: {
        tags,
        summary: 'Remove a reference, and the image with its last one',
        params: imageParams,
        querystring: closed({ force: flag('although several references name it') }),
      },
    },
    (request) =>
      callerOf(bus, request).call(
        methods.RemoveImage,
        { name: request.params.image, force: request.query.force ?? false },
        deadlines.slowMs,
      ),
  );

  app.post<ImageRoute & { Body: { reference: string } }>(
    '/v1/images/:image/tag',
    {
      schema: {
        tags,
        summary: 'Give an image one more reference',
        params: imageParams,
        body: closed({ reference: text('new reference', { minLength: 1 }) }, ['reference']),
      },
    },
    async (request, reply) => {
      await callerOf(bus, request).call(methods.TagImage, { name: request.params.image, ...request.body });
      return reply.code(204).send();
    },
  );

  app.post<{ Body: image.PullImageRequest }>(
    '/v1/images/pull',
    {
      schema: {
        tags: ['streams'],
        summary: 'Pull an image: progress lines, then a line with the image',
        body: message<image.PullImageRequest>(
          {
            reference: text('as docker takes it', { minLength: 1 }),
            platform: text("os/arch[/variant]; empty means this node's"),
            policy: oneOf(['', 'always', 'missing', 'never'], 'empty means always'),
            username: text('empty means anonymous'),
            password: text('empty means anonymous'),
          },
          ['reference'],
        ),
      },
    },
    async (request, reply) => {
      await sendStream(
        streams,
        reply,
        'PullImage',
        (signal) => callerOf(bus, request).open(methods.PullImage, request.body, signal),
        jsonLines(progressLine),
      );
    },
  );

  app.post<{ Body: Readable }>(
    '/v1/images/load',
    {
      schema: {
        tags: ['streams'],
        summary:
          'Load an archive (body, application/x-tar): progress lines, then a line for each image it held',
        consumes: ['application/x-tar'],
      },
    },
    async (request, reply) => {
      const file = await spoolBody(spoolDirectory, request.body, clientGone(reply.raw));
      metrics.loadedBytes.inc(file.bytes);
      try {
        await sendStream(
          streams,
          reply,
          'LoadImage',
          async (signal) =>
            file.rename(
              await callerOf(bus, request).open(
                methods.LoadImage,
                { source: file.handle, removeSource: true },
                signal,
              ),
            ),
          jsonLines(progressLine),
        );
      } finally {
        await file.discard();
      }
    },
  );

  app.post<{ Body: { all?: boolean } | undefined }>(
    '/v1/images/prune',
    {
      schema: {
        tags,
        summary: 'Remove images that no container uses',
        body: closed({ all: flag('also those that have a reference') }),
      },
    },
    (request) =>
      callerOf(bus, request).call(
        methods.PruneImages,
        { all: request.body?.all ?? false },
        deadlines.patientMs,
      ),
  );
}

import { node } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import { callerOf, parseFilters } from '../bus-calls.js';
import { byteFrames, jsonLines, sendStream } from '../http-stream.js';
import { createLogEncoder } from '../log-frames.js';
import type { ApiParts } from '../parts.js';
import { containerParams } from '../schemas/container-schemas.js';
import { closed, flag, list, oneOf, texts, uint64, unixNanos } from '../schemas/schema.js';

const methods = node.NodeAgent.methods;

interface LogQuery {
  follow?: boolean;
  tail?: number;
  sinceUnixNanos?: number;
  untilUnixNanos?: number;
  stdout?: boolean;
  stderr?: boolean;
  timestamps?: boolean;
}

/** Answers that go on: waits, logs, stats, events. */
export function containerStreamRoutes(app: FastifyInstance, { bus, streams }: ApiParts): void {
  app.post<{ Params: { container: string }; Querystring: { condition?: string } }>(
    '/v1/containers/:container/wait',
    {
      schema: {
        tags: ['streams'],
        summary:
          'Wait for an exit: a line {"registered":true} when an exit can no longer be missed, then the exit code',
        params: containerParams,
        querystring: closed({
          condition: oneOf(
            ['not-running', 'next-exit', 'removed'],
            'what is waited for; default not-running',
          ),
        }),
      },
    },
    async (request, reply) => {
      const asked = { ...request.params, condition: request.query.condition ?? 'not-running' };
      await sendStream(
        streams,
        reply,
        'WaitContainer',
        (signal) => callerOf(bus, request).open(methods.WaitContainer, asked, signal),
        jsonLines<node.WaitContainerResponse>(({ registered, exitCode, error }) =>
          exitCode === undefined && error === ''
            ? { registered }
            : { exitCode, ...(error === '' ? {} : { message: error }) },
        ),
      );
    },
  );

  app.get<{ Params: { container: string }; Querystring: LogQuery }>(
    '/v1/containers/:container/logs',
    {
      schema: {
        tags: ['streams'],
        summary: 'Output kept by the log, as frames of bytes',
        params: containerParams,
        querystring: closed({
          follow: flag('go on with what is written from now'),
          tail: uint64('number of last lines; absent means all'),
          sinceUnixNanos: unixNanos('not before'),
          untilUnixNanos: unixNanos('not after'),
          stdout: flag('default true'),
          stderr: flag('default true'),
          timestamps: flag('each line begins with its time'),
        }),
      },
    },
    async (request, reply) => {
      const { timestamps = false, stdout = true, stderr = true, ...rest } = request.query;
      const asked = { ...request.params, ...rest, stdout, stderr };
      await sendStream(
        streams,
        reply,
        'ReadLogs',
        (signal) => callerOf(bus, request).open(methods.ReadLogs, asked, signal),
        byteFrames(createLogEncoder(timestamps)),
      );
    },
  );

  app.get<{ Querystring: { container?: string[]; once?: boolean } }>(
    '/v1/stats',
    {
      schema: {
        tags: ['streams'],
        summary: 'Use of resources, one line a reading',
        querystring: closed({
          container: texts('repeatable; none means all that run'),
          once: flag('one reading only'),
        }),
      },
    },
    async (request, reply) => {
      const asked = { containers: request.query.container ?? [], once: request.query.once ?? false };
      await sendStream(
        streams,
        reply,
        'WatchStats',
        (signal) => callerOf(bus, request).open(methods.WatchStats, asked, signal),
        jsonLines(),
      );
    },
  );

  app.get<{ Querystring: { sinceUnixNanos?: number; untilUnixNanos?: number; filter?: string[] } }>(
    '/v1/events',
    {
      schema: {
        tags: ['streams'],
        summary: 'What happens on this node, one line an event',
        querystring: closed({
          sinceUnixNanos: unixNanos('also kept events from here'),
          untilUnixNanos: unixNanos('end here'),
          filter: list(
            { type: 'string' },
            'KEY=VALUE, repeatable: type, event, container, image, label, volume',
          ),
        }),
      },
    },
    async (request, reply) => {
      const { filter, ...rest } = request.query;
      const asked = { ...rest, filters: parseFilters(filter, 'WatchEvents') };
      await sendStream(
        streams,
        reply,
        'WatchEvents',
        (signal) => callerOf(bus, request).open(methods.WatchEvents, asked, signal),
        jsonLines<node.WatchEventsResponse>(({ event }) => event),
      );
    },
  );
}

import type { Bus } from '@gantry/bus';
import type { control, Init, Method } from '@gantry/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { callerOf, deadlines } from './bus-calls.js';
import { jsonLines, sendStream } from './http-stream.js';
import type { ApiParts } from './parts.js';

/** One call to control, on behalf of whoever asked: the node agent hands it on. */
export function callControl<Request, Response>(
  bus: Bus,
  request: FastifyRequest,
  method: Method<Request, Response, 'unary'>,
  message: Init<Request>,
): Promise<Response> {
  return callerOf(bus, request).call(method, message, deadlines.quickMs);
}

/** A stream of control as lines. */
export function sendControlLines<Request, Response>(
  { bus, streams }: ApiParts,
  request: FastifyRequest,
  reply: FastifyReply,
  method: Method<Request, Response, 'server-stream'>,
  message: Init<Request>,
  linesOf: (message: Response) => readonly unknown[] = (one) => [one],
): Promise<void> {
  return sendStream(
    streams,
    reply,
    method.name,
    async (signal) => spread(await callerOf(bus, request).open(method, message, signal), linesOf),
    jsonLines<unknown>(),
  );
}

async function* spread<T>(
  messages: AsyncIterable<T>,
  linesOf: (message: T) => readonly unknown[],
): AsyncGenerator {
  for await (const message of messages) yield* linesOf(message);
}

/** Bytes have no place in JSON but as base64. */
export function logLines({ entries, warnings }: control.ReadTaskLogsResponse): unknown[] {
  return [
    ...entries.map(({ taskId, taskName, nodeId, entry }) => ({
      ...{ taskId, taskName, nodeId },
      stream: entry?.stream ?? '',
      timeUnixNanos: entry?.timeUnixNanos ?? 0,
      data: Buffer.from(entry?.data ?? []).toString('base64'),
    })),
    ...warnings.map((warning) => ({ warning })),
  ];
}

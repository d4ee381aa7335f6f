import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import { GantryError } from '@gantry/protocol';
import { frameKinds } from '@gantry/protocol/stream-frames';
import type { FastifyReply } from 'fastify';
import type { Gauge } from 'prom-client';
import { errorReply, toGantryError } from './error-reply.js';
import { frame } from './frames.js';

/** How long an answer's head waits for a first message, so that an early failure still gets its status code. */
const firstMessageWaitMs = 100;

interface StreamFormat<T> {
  readonly contentType: string;
  /** Undefined: nothing to send for this message. */
  readonly encode: (message: T) => Uint8Array | string | undefined;
  readonly encodeError: (body: string) => Uint8Array | string;
}

/** One JSON document a line; a failure after the start is the last line, `{"error": {...}}`. */
export function jsonLines<T>(pick: (message: T) => unknown = (message) => message): StreamFormat<T> {
  return {
    contentType: 'application/x-ndjson',
    encode: (message) => {
      const picked = pick(message);
      return picked === undefined ? undefined : `${JSON.stringify(picked)}\n`;
    },
    encodeError: (body) => `{"error":${body}}\n`,
  };
}

/** Frames of bytes (frames.ts); a failure after the start is the last frame. */
export function byteFrames<T>(encode: (message: T) => Uint8Array | undefined): StreamFormat<T> {
  return {
    contentType: 'application/vnd.gantry.frames',
    encode,
    encodeError: (body) => frame(frameKinds.error, Buffer.from(body)),
  };
}

/** Aborted when the client has gone before its answer was whole. */
export function clientGone(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  const onClose = (): void => {
    if (!response.writableFinished) controller.abort();
  };
  if (response.destroyed) controller.abort();
  else response.once('close', onClose);
  return controller.signal;
}

/** What every stream of this api needs. */
export interface StreamKit {
  /** Aborted when the api stops: clients are told, instead of taking the end for the truth. */
  readonly stopping: AbortSignal;
  readonly openStreams: Gauge<'route'>;
}

/**
 * Sends a bus stream as the answer. Reads the next message only when the client has taken the last one, and cancels
 * the stream when the client goes away.
 */
export async function sendStream<T>(
  { stopping, openStreams }: StreamKit,
  reply: FastifyReply,
  operation: string,
  open: (signal: AbortSignal) => Promise<AsyncIterable<T>>,
  format: StreamFormat<T>,
): Promise<void> {
  const response = reply.raw;
  const gone = clientGone(response);
  const opened = open(AbortSignal.any([gone, stopping])).catch((error: unknown) => {
    throw stopping.aborted ? stoppingError(operation) : error;
  });
  const messages = (await opened)[Symbol.asyncIterator]();
  const first = messages.next();
  // Either a message, or a failure that the error handler answers, or time to say that we listen.
  await Promise.race([first, sleep(firstMessageWaitMs, undefined, { ref: false })]);
  reply.hijack();
  response.writeHead(200, { 'content-type': format.contentType, 'x-request-id': reply.request.id });
  response.flushHeaders();
  const route = reply.request.routeOptions.url ?? '';
  openStreams.inc({ route });
  try {
    for (let next = await first; next.done !== true; next = await messages.next()) {
      const encoded = format.encode(next.value);
      if (encoded !== undefined && !response.write(encoded)) await drained(response);
      if (gone.aborted) break;
    }
    if (stopping.aborted) throw stoppingError(operation);
  } catch (error) {
    const told = stopping.aborted ? stoppingError(operation) : toGantryError(error, operation);
    if (!gone.aborted) response.write(format.encodeError(JSON.stringify(errorReply(told))));
  } finally {
    openStreams.dec({ route });
    await messages.return?.();
    response.end();
  }
}

export const stoppingError = (operation: string): GantryError =>
  new GantryError({
    code: 'unavailable',
    operation,
    message: 'the api of this node is stopping; containers go on',
  });

export function drained(response: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) {
      resolve();
      return;
    }
    const done = (): void => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.once('drain', done).once('close', done);
  });
}

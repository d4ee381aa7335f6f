import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { GantryError, node } from '@gantry/protocol';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { admit } from '../admission.js';
import { serveAttached, type AttachTarget } from '../attach-connection.js';
import { callerFor, callerOf } from '../bus-calls.js';
import { errorReply, statusOf, toGantryError } from '../error-reply.js';
import { clientGone, stoppingError } from '../http-stream.js';
import type { ApiParts } from '../parts.js';
import { containerParams } from '../schemas/container-schemas.js';
import { closed, flag, uint32 } from '../schemas/schema.js';

/** The protocol named in Upgrade: frames of bytes both ways, see frames.ts. */
export const upgradeProtocol = 'gantry-frames/1';
const refusedCloseMs = 5_000;

const terminalSize = {
  rows: uint32('rows of the terminal', { maximum: 65535 }),
  columns: uint32('columns of the terminal', { maximum: 65535 }),
};

interface AttachQuery {
  stdin?: boolean;
  rows?: number;
  columns?: number;
  logs?: boolean;
  detach?: boolean;
}

interface Attachment {
  readonly target: AttachTarget;
  readonly open: node.AttachOpen;
}

/**
 * Attach and exec. The connection changes its protocol by HTTP Upgrade; node:http hands such requests over before
 * any route sees them, so these are taken from the server's `upgrade` event. The routes of the same names describe
 * them in the OpenAPI document and answer those who forgot to ask for the upgrade.
 */
export function attachRoutes(app: FastifyInstance, parts: ApiParts): void {
  app.post(
    '/v1/containers/:container/attach',
    {
      schema: {
        tags: ['streams'],
        summary: `Attach to the first process (Upgrade: ${upgradeProtocol})`,
        params: containerParams,
        querystring: closed({
          stdin: flag('send input'),
          logs: flag('what the log holds comes first'),
          ...terminalSize,
        }),
      },
    },
    refuseWithoutUpgrade,
  );

  app.post<{ Params: { exec: string }; Querystring: AttachQuery }>(
    '/v1/execs/:exec/start',
    {
      schema: {
        tags: ['streams'],
        summary: `Start an additional process and attach to it (Upgrade: ${upgradeProtocol}), or leave it alone`,
        querystring: closed({
          stdin: flag('send input'),
          detach: flag('only start it: no upgrade, no output'),
          ...terminalSize,
        }),
      },
    },
    async (request, reply) => {
      if (request.query.detach !== true) return refuseWithoutUpgrade(request, reply);
      const open = openMessage({ execId: request.params.exec }, request.query);
      const stream = await callerOf(parts.bus, request).open(
        node.NodeAgent.methods.StartExec,
        { open },
        clientGone(reply.raw),
      );
      for await (const output of stream) if (output.attached !== undefined) break;
      return reply.code(204).send();
    },
  );

  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    void upgrade(parts, request, socket, head);
  });
}

function refuseWithoutUpgrade(_request: unknown, reply: FastifyReply): FastifyReply {
  const failure = new GantryError({
    code: 'invalid_argument',
    operation: 'attach',
    message: `this needs the headers "Connection: Upgrade" and "Upgrade: ${upgradeProtocol}"`,
  });
  return reply.code(426).header('upgrade', upgradeProtocol).send(errorReply(failure));
}

async function upgrade(
  parts: ApiParts,
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
): Promise<void> {
  // A client that breaks off is no error of ours.
  socket.on('error', () => undefined);
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  try {
    const { target, open } = readAttachment(request);
    const given = request.headers['x-request-id'];
    const actor = await admit(parts.bus, request);
    const caller = callerFor(parts.bus, typeof given === 'string' ? given : randomUUID(), actor);
    const signal = AbortSignal.any([gone.signal, parts.streams.stopping]);
    const method =
      target === 'container' ? node.NodeAgent.methods.AttachContainer : node.NodeAgent.methods.StartExec;
    const stream = await caller.open(method, { open }, signal);
    await serveAttached({ ...parts.streams, stream, socket, head, target, open, protocol: upgradeProtocol });
  } catch (error) {
    const failure = parts.streams.stopping.aborted ? stoppingError('attach') : toGantryError(error, 'attach');
    if (failure.code === 'internal')
      parts.logger.error({ err: failure, operation: failure.operation }, 'request failed');
    refuse(socket, failure);
  }
}

function refuse(socket: Socket, failure: GantryError): void {
  if (socket.destroyed) return;
  const body = JSON.stringify(errorReply(failure));
  socket.end(
    `HTTP/1.1 ${statusOf(failure.code)} Refused\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
  // Nothing of what the client may still send is of use, and it is not waited for long to end its side.
  socket.resume();
  const late = setTimeout(() => socket.destroy(), refusedCloseMs).unref();
  socket.once('close', () => clearTimeout(late));
}

const attachPath = /^\/v1\/(?:containers\/([^/]+)\/attach|execs\/([^/]+)\/start)$/;

function readAttachment(request: IncomingMessage): Attachment {
  const url = new URL(request.url ?? '/', 'http://gantry');
  const match = attachPath.exec(url.pathname);
  const wanted = (request.headers.upgrade ?? '').toLowerCase();
  if (match === null || request.method !== 'POST' || wanted !== upgradeProtocol)
    throw new GantryError({
      code: match === null ? 'not_found' : 'invalid_argument',
      operation: 'upgrade',
      object: url.pathname,
      message: `this api does not upgrade ${request.method ?? ''} ${url.pathname} to "${wanted}"`,
    });
  const [, container, execId] = match;
  const query = readQuery(url.searchParams);
  return container !== undefined
    ? { target: 'container', open: openMessage({ container: decode(container) }, query) }
    : { target: 'exec', open: openMessage({ execId: decode(execId ?? '') }, query) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new GantryError({
      code: 'invalid_argument',
      operation: 'attach',
      object: part,
      message: `"${part}" is not percent-encoded text`,
    });
  }
}

function readQuery(parameters: URLSearchParams): AttachQuery {
  const query: { -readonly [K in keyof AttachQuery]: AttachQuery[K] } = {};
  for (const [key, value] of parameters) {
    if ((key === 'stdin' || key === 'logs') && (value === 'true' || value === 'false'))
      query[key] = value === 'true';
    else if ((key === 'rows' || key === 'columns') && /^\d{1,5}$/.test(value) && Number(value) < 65536)
      query[key] = Number(value);
    else
      throw new GantryError({
        code: 'invalid_argument',
        operation: 'attach',
        object: key,
        message: `"${key}=${value}" is not understood in the query`,
      });
  }
  return query;
}

function openMessage(target: { container?: string; execId?: string }, query: AttachQuery): node.AttachOpen {
  const { stdin = false, rows = 0, columns = 0, logs = false, detach = false } = query;
  return {
    container: target.container ?? '',
    execId: target.execId ?? '',
    stdin,
    rows,
    columns,
    logs,
    detach,
  };
}

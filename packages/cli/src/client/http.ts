import type { Socket } from 'node:net';
import { ApiFailure } from '../failures.js';
import { SocketReader } from './socket-reader.js';
import type { Transport } from './transport.js';

/**
 * As much of HTTP/1.1 as one request to the api needs. Loading node:http would take longer than all
 * the rest of most commands.
 */
export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  /** A JSON document. */
  readonly json?: unknown;
  /** A body of unknown length. */
  readonly stream?: AsyncIterable<Uint8Array>;
  readonly streamType?: string;
  /** Protocol that the connection changes to. */
  readonly upgrade?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly socket: Socket;
  readonly reader: SocketReader;
}

/** Sends one request and reads the head of its answer. Throws an ApiFailure that says what to do when nobody answers. */
export async function send(transport: Transport, request: HttpRequest): Promise<HttpAnswer> {
  const socket = await transport.open();
  const reader = new SocketReader(socket);
  const head = [`${request.method} ${request.path} HTTP/1.1`, 'host: gantry', ...transport.headers];
  let body = '';
  if (request.upgrade === undefined) head.push('connection: close');
  else head.push('connection: Upgrade', `upgrade: ${request.upgrade}`);
  if (request.json !== undefined) {
    body = JSON.stringify(request.json);
    head.push('content-type: application/json', `content-length: ${Buffer.byteLength(body)}`);
  } else if (request.stream !== undefined)
    head.push(
      `content-type: ${request.streamType ?? 'application/octet-stream'}`,
      'transfer-encoding: chunked',
    );
  else if (request.method === 'POST') head.push('content-length: 0');
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  const sending = request.stream === undefined ? undefined : sendChunks(socket, request.stream);
  // A refusal may come before the body is through; a body that fails ends the request.
  if (sending !== undefined)
    try {
      await Promise.race([sending, headBegins(reader)]);
      sending.catch(() => undefined);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  try {
    return await readHead(socket, reader);
  } catch (error) {
    throw transport.describe(error) ?? (error instanceof ApiFailure ? error : lost(error));
  }
}

async function headBegins(reader: SocketReader): Promise<void> {
  try {
    const chunk = await reader.read();
    if (chunk !== undefined) reader.unread(chunk);
  } catch {
    // Read again, and described, by whoever reads the head.
  }
}

async function sendChunks(socket: Socket, stream: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of stream) {
    if (socket.destroyed) return;
    if (chunk.length === 0) continue;
    socket.write(`${chunk.length.toString(16)}\r\n`);
    socket.write(chunk);
    if (!socket.write('\r\n')) await drained(socket);
  }
  socket.write('0\r\n\r\n');
}

export function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed || !socket.writableNeedDrain) {
      resolve();
      return;
    }
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.once('drain', done).once('close', done);
  });
}

async function readHead(socket: Socket, reader: SocketReader): Promise<HttpAnswer> {
  for (;;) {
    const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(await reader.readLine())?.[1] ?? NaN);
    const headers = new Map<string, string>();
    for (let line = await reader.readLine(); line !== ''; line = await reader.readLine()) {
      const at = line.indexOf(':');
      headers.set(line.slice(0, at).toLowerCase(), line.slice(at + 1).trim());
    }
    if (status !== 100) return { status, headers, socket, reader };
  }
}

/** The body as it comes, whatever way its length is told. */
export async function* bodyOf(answer: HttpAnswer): AsyncGenerator<Buffer> {
  try {
    yield* readBody(answer);
  } catch (error) {
    throw error instanceof ApiFailure ? error : lost(error);
  }
}

async function* readBody({ headers, reader }: HttpAnswer): AsyncGenerator<Buffer> {
  if (headers.get('transfer-encoding')?.toLowerCase() === 'chunked') {
    for (;;) {
      let left = parseInt(await reader.readLine(), 16);
      if (left === 0) return;
      while (left > 0) {
        const chunk = await reader.readSome(left);
        if (chunk === undefined) throw lost();
        left -= chunk.length;
        yield chunk;
      }
      await reader.readLine();
    }
  }
  const length = headers.get('content-length');
  let left = length === undefined ? Infinity : Number(length);
  while (left > 0) {
    const chunk = await reader.readSome(left);
    if (chunk === undefined) {
      if (length === undefined) return;
      throw lost();
    }
    left -= chunk.length;
    yield chunk;
  }
}

/** The other side is gone, whatever the kernel calls it. */
const lost = (cause?: unknown): ApiFailure =>
  new ApiFailure({
    code: 'unavailable',
    message: 'the connection to gantry was lost; containers go on',
    cause,
  });

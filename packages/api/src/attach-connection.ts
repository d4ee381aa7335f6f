import type { Socket } from 'node:net';
import type { ClientStream } from '@gantry/bus';
import type { node } from '@gantry/protocol';
import { frameKinds } from '@gantry/protocol/stream-frames';
import { errorReply, toGantryError } from './error-reply.js';
import { ClientFrameReader, exitFrame, frame } from './frames.js';
import { drained, stoppingError, type StreamKit } from './http-stream.js';

export type AttachTarget = 'container' | 'exec';

interface AttachedConnection extends StreamKit {
  readonly stream: ClientStream<node.AttachInput, node.AttachOutput>;
  readonly socket: Socket;
  /** What came behind the head of the request. */
  readonly head: Buffer;
  readonly target: AttachTarget;
  readonly open: node.AttachOpen;
  readonly protocol: string;
}

/**
 * Joins a client's connection and an attach stream until one of them ends. Throws what the first answer of the
 * stream throws, before anything was sent to the client.
 */
export async function serveAttached(connection: AttachedConnection): Promise<void> {
  const { stream, socket, stopping, openStreams, target, protocol } = connection;
  const outputs = stream[Symbol.asyncIterator]();
  const first = await outputs.next();
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${protocol}\r\n\r\n`);
  openStreams.inc({ route: target });
  try {
    void passInput(connection);
    for (let next = first; next.done !== true; next = await outputs.next()) {
      const encoded = encodeOutput(next.value);
      if (encoded !== undefined && !socket.write(encoded)) await drained(socket);
      if (socket.destroyed) break;
    }
    if (stopping.aborted) throw stoppingError('attach');
  } catch (error) {
    const told = stopping.aborted ? stoppingError('attach') : toGantryError(error, 'attach');
    if (!socket.destroyed)
      socket.write(frame(frameKinds.error, Buffer.from(JSON.stringify(errorReply(told)))));
  } finally {
    openStreams.dec({ route: target });
    await outputs.return?.();
    socket.end();
    // The client's half may still be open; what it sends from now on has no reader.
    socket.destroySoon();
  }
}

function encodeOutput({ stdout, stderr, exitCode }: node.AttachOutput): Buffer | undefined {
  if (stdout !== undefined) return frame(frameKinds.stdout, stdout);
  if (stderr !== undefined) return frame(frameKinds.stderr, stderr);
  return exitCode === undefined ? undefined : exitFrame(exitCode);
}

/** Reads no more of the client's input than the stream takes. */
async function passInput({ stream, socket, head, open }: AttachedConnection): Promise<void> {
  const frames = new ClientFrameReader();
  let inputEnded = false;
  const endInput = async (): Promise<void> => {
    if (inputEnded || !open.stdin) return;
    inputEnded = true;
    await stream.send({ stdinEof: true });
  };
  const pass = async (chunk: Buffer): Promise<void> => {
    for (const input of frames.read(chunk)) {
      if ('resize' in input)
        await stream.send({ resize: { container: open.container, execId: open.execId, ...input.resize } });
      else if ('stdinEnd' in input) await endInput();
      else if (open.stdin && !inputEnded) await stream.send({ stdin: input.stdin });
    }
  };
  try {
    if (head.length > 0) await pass(head);
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) await pass(chunk as Buffer);
    await endInput();
  } catch (error) {
    // Nonsense from the client ends the connection; the end of the stream or of the socket is seen on the other way.
    if (error instanceof RangeError) socket.destroy(error);
  }
}

import { frameHeaderBytes, frameKinds } from '@gantry/protocol/stream-frames';
import type { SocketReader } from './socket-reader.js';

export function frameHeader(kind: number, length: number): Buffer {
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt8(kind, 0);
  header.writeUInt32BE(length, 4);
  return header;
}

export interface Frame {
  readonly kind: number;
  readonly payload: Buffer;
}

/** Output frames are passed on in the pieces they come in; the short ones that say something come whole. */
export async function* readFrames(chunks: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let pending: Buffer = Buffer.alloc(0);
  let kind = 0;
  let left = 0;
  for await (const chunk of chunks) {
    let data = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    pending = Buffer.alloc(0);
    for (;;) {
      if (left > 0) {
        if (data.length === 0) break;
        const isOutput = kind === frameKinds.stdout || kind === frameKinds.stderr;
        if (!isOutput && data.length < left) break;
        const payload = data.subarray(0, left);
        left -= payload.length;
        data = data.subarray(payload.length);
        yield { kind, payload };
        continue;
      }
      if (data.length < frameHeaderBytes) break;
      kind = data.readUInt8(0);
      left = data.readUInt32BE(4);
      data = data.subarray(frameHeaderBytes);
    }
    pending = data;
  }
}

/** What comes on a connection after its protocol has changed. */
export async function* rawBytes(reader: SocketReader): AsyncGenerator<Buffer> {
  for (;;) {
    const chunk = await reader.read();
    if (chunk === undefined) return;
    yield chunk;
  }
}

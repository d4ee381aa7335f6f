import { frameHeaderBytes, frameKinds, type FrameKind } from '@gantry/protocol/stream-frames';

export function writeFrameHeader(target: Buffer, offset: number, kind: FrameKind, length: number): void {
  target.writeUInt32BE(kind * 0x1000000, offset);
  target.writeUInt32BE(length, offset + 4);
}

/** One frame, copied once. */
export function frame(kind: FrameKind, payload: Uint8Array): Buffer {
  const made = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  writeFrameHeader(made, 0, kind, payload.length);
  made.set(payload, frameHeaderBytes);
  return made;
}

export function exitFrame(exitCode: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeInt32BE(exitCode);
  return frame(frameKinds.exit, payload);
}

/** What a client says on an attached connection. */
export type ClientInput =
  | { readonly stdin: Uint8Array }
  | { readonly stdinEnd: true }
  | { readonly resize: { readonly rows: number; readonly columns: number } };

const largestControlFrame = 64;

/** Reads a client's frames as they come, without gathering input frames whole. Throws a RangeError for nonsense. */
export class ClientFrameReader {
  #pending: Buffer = Buffer.alloc(0);
  #stdinLeft = 0;

  *read(chunk: Buffer): Generator<ClientInput> {
    let data = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#pending = Buffer.alloc(0);
    for (;;) {
      if (this.#stdinLeft > 0) {
        if (data.length === 0) return;
        const part = data.subarray(0, this.#stdinLeft);
        this.#stdinLeft -= part.length;
        data = data.subarray(part.length);
        yield { stdin: part };
        continue;
      }
      if (data.length < frameHeaderBytes) break;
      const kind = data.readUInt8(0);
      const length = data.readUInt32BE(4);
      if (kind === frameKinds.stdin) {
        this.#stdinLeft = length;
        data = data.subarray(frameHeaderBytes);
        continue;
      }
      if (length > largestControlFrame) throw new RangeError(`frame of kind ${kind} with ${length} bytes`);
      if (data.length < frameHeaderBytes + length) break;
      yield readControl(kind, data.subarray(frameHeaderBytes, frameHeaderBytes + length));
      data = data.subarray(frameHeaderBytes + length);
    }
    // The chunk belongs to the connection: keep a copy of the rest only.
    this.#pending = Buffer.from(data);
  }
}

function readControl(kind: number, payload: Buffer): ClientInput {
  if (kind === frameKinds.stdinEnd && payload.length === 0) return { stdinEnd: true };
  if (kind === frameKinds.resize && payload.length === 4)
    return { resize: { rows: payload.readUInt16BE(0), columns: payload.readUInt16BE(2) } };
  throw new RangeError(`frame of unknown kind ${kind} with ${payload.length} bytes`);
}

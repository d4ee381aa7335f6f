/** Frames of the shim's socket, version 1; native/shim/protocol.h draws the conversation. */
export const SHIM_PROTOCOL_VERSION = 1;

export const frameKind = Object.freeze({
  hello: 1,
  attach: 2,
  stdin: 3,
  stdinEof: 4,
  resize: 5,
  signal: 6,
  watch: 7,
  release: 8,
  deadline: 9,
  started: 32,
  failed: 33,
  attached: 34,
  stdout: 35,
  stderr: 36,
  exit: 37,
  result: 38,
  logLost: 39,
  place: 40,
});

export const attachFlag = Object.freeze({ stdin: 1, output: 2, lossless: 4 });

/** The shim drops a client that sends more in one frame. */
export const LARGEST_INPUT_BYTES = 4096;

const HEADER_BYTES = 8;

/** What of a process's output could not be logged since it started. */
export interface LogLoss {
  readonly records: number;
  readonly bytes: number;
}

export const NO_LOG_LOSS: LogLoss = Object.freeze({ records: 0, bytes: 0 });

/** How a process ended. Times are nanoseconds as a bigint, since they do not fit a double. */
export interface ExitFacts {
  readonly exitCode: number;
  readonly signal: number;
  readonly exitedUnixNanos: bigint;
  readonly oomKillCount: number;
  readonly logLoss: LogLoss;
}

export type ShimMessage =
  | {
      readonly kind: 'started';
      readonly version: number;
      readonly pid: number;
      readonly shimPid: number;
      readonly startedUnixNanos: bigint;
    }
  | { readonly kind: 'failed'; readonly errno: number; readonly stage: string; readonly path: string }
  | { readonly kind: 'attached' }
  | { readonly kind: 'stdout' | 'stderr'; readonly data: Buffer }
  | { readonly kind: 'exit'; readonly exit: ExitFacts }
  | { readonly kind: 'result'; readonly request: number; readonly errno: number }
  | { readonly kind: 'logLost'; readonly loss: LogLoss; readonly errno: number }
  /** The stage, waiting to be put into its cgroup. */
  | { readonly kind: 'place'; readonly pid: number }
  | { readonly kind: 'unknown' };

export function encodeFrame(kind: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt16LE(kind, 4);
  frame.writeUInt16LE(0, 6);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

export function encodeHello(): Buffer {
  const body = Buffer.alloc(4);
  body.writeUInt32LE(SHIM_PROTOCOL_VERSION);
  return encodeFrame(frameKind.hello, body);
}

export function encodeAttach(flags: number, rows: number, columns: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt32LE(flags, 0);
  body.writeUInt16LE(rows & 0xffff, 4);
  body.writeUInt16LE(columns & 0xffff, 6);
  return encodeFrame(frameKind.attach, body);
}

export function encodeResize(rows: number, columns: number): Buffer {
  const body = Buffer.alloc(4);
  body.writeUInt16LE(rows & 0xffff, 0);
  body.writeUInt16LE(columns & 0xffff, 2);
  return encodeFrame(frameKind.resize, body);
}

/** Stdin in as many frames as it needs. */
export function encodeStdin(data: Uint8Array): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < data.length; at += LARGEST_INPUT_BYTES)
    frames.push(encodeFrame(frameKind.stdin, data.subarray(at, at + LARGEST_INPUT_BYTES)));
  return Buffer.concat(frames);
}

const EXIT_BYTES_BEFORE_LOG_LOSS = 24;

function decodeLogLoss(body: Buffer, at: number): LogLoss {
  return {
    records: Number(body.readBigUInt64LE(at)),
    bytes: Number(body.readBigUInt64LE(at + 8)),
  };
}

function decodeMessage(kind: number, body: Buffer): ShimMessage {
  switch (kind) {
    case frameKind.started:
      return {
        kind: 'started',
        version: body.readUInt32LE(0),
        pid: body.readUInt32LE(4),
        shimPid: body.readUInt32LE(8),
        startedUnixNanos: body.readBigInt64LE(12),
      };
    case frameKind.failed: {
      const [stage = '', path = ''] = body.subarray(4).toString().split('\0');
      return { kind: 'failed', errno: body.readInt32LE(0), stage, path };
    }
    case frameKind.attached:
      return { kind: 'attached' };
    case frameKind.stdout:
      return { kind: 'stdout', data: body };
    case frameKind.stderr:
      return { kind: 'stderr', data: body };
    case frameKind.exit:
      return {
        kind: 'exit',
        exit: {
          exitCode: body.readInt32LE(0),
          signal: body.readUInt32LE(4),
          exitedUnixNanos: body.readBigInt64LE(8),
          oomKillCount: Number(body.readBigUInt64LE(16)),
          // A shim of 0.1 does not count it.
          logLoss:
            body.length > EXIT_BYTES_BEFORE_LOG_LOSS
              ? decodeLogLoss(body, EXIT_BYTES_BEFORE_LOG_LOSS)
              : NO_LOG_LOSS,
        },
      };
    case frameKind.result:
      return { kind: 'result', request: body.readUInt32LE(0), errno: body.readInt32LE(4) };
    case frameKind.logLost:
      return { kind: 'logLost', loss: decodeLogLoss(body, 0), errno: body.readInt32LE(16) };
    case frameKind.place:
      return { kind: 'place', pid: body.readUInt32LE(0) };
    default:
      // A newer shim may tell what this service does not know yet.
      return { kind: 'unknown' };
  }
}

/** Cuts a byte stream into messages. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): readonly ShimMessage[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: ShimMessage[] = [];
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + bytes.readUInt32LE(at);
      if (end > bytes.length) break;
      messages.push(decodeMessage(bytes.readUInt16LE(at + 4), bytes.subarray(at + HEADER_BYTES, end)));
      at = end;
    }
    this.#rest = bytes.subarray(at);
    return messages;
  }
}

import { headers, type Msg, type MsgHdrs } from 'nats';

/**
 * One message of a stream. Each side numbers its data frames from 1 and may have at most `window` frames
 * unacknowledged; the receiver grants more as its reader takes them.
 *
 *   caller                                   server
 *     | -- open (request, reply inbox) -------> |
 *     | <------- accept (server's inbox) ------ |
 *     | <=========== data 1, 2, 3 ============= |   data and end carry a sequence number
 *     | == data 1, 2 (duplex only) ===========> |
 *     | -- credit n --------------------------> |   both ways
 *     | <- alive (last number) -> ------------- |   both ways, every 5 s
 *     | <------- end | error ------------------ |
 *     | -- cancel ----------------------------> |
 */
export type FrameKind = 'accept' | 'data' | 'end' | 'error' | 'credit' | 'alive' | 'cancel';

export interface Frame {
  readonly kind: FrameKind;
  /** data, end, error: this frame's number; alive: the last number sent; credit: how many more may be sent. */
  readonly number: number;
  readonly data: Uint8Array;
}

const kindHeader = 'Gantry-Frame';
const numberHeader = 'Gantry-Number';

export function frameHeaders(kind: FrameKind, number: number): MsgHdrs {
  const made = headers();
  made.set(kindHeader, kind);
  made.set(numberHeader, String(number));
  return made;
}

/** Undefined for a message that is no frame: NATS' own "no responders" answer, or nonsense. */
export function readFrame(message: Msg): Frame | undefined {
  const kind = message.headers?.get(kindHeader);
  if (kind === undefined || kind === '') return undefined;
  return {
    kind: kind as FrameKind,
    number: Number(message.headers?.get(numberHeader) ?? '0'),
    data: message.data,
  };
}

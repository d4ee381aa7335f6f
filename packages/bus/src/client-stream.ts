import type { Init, Method, MethodKind } from '@gantry/protocol';
import type { StreamEnd } from './stream-end.js';

/** The caller's side of a stream. Leaving the iteration early cancels it. */
export interface ClientStream<Request, Response> extends AsyncIterable<Response> {
  /** Duplex only. Waits until the other side has room; rejects when the stream is over. */
  send(message: Init<Request>): Promise<void>;
  /** Duplex only. Tells the server that no more input comes. */
  endInput(): void;
  cancel(): void;
}

/** A typed stream over its end at this side. */
export function clientStream<Request, Response>(
  end: StreamEnd,
  method: Method<Request, Response, MethodKind>,
): ClientStream<Request, Response> {
  return {
    send: (message) => end.send(method.request.encode(message)),
    endInput: () => end.end(),
    cancel: () => end.cancel(),
    async *[Symbol.asyncIterator]() {
      let whole = false;
      try {
        for await (const data of end) yield method.response.decode(data);
        whole = true;
      } finally {
        if (whole) end.close();
        else end.cancel();
      }
    },
  };
}

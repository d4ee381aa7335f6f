import type { Socket } from 'node:net';

/** The way to an api. */
export interface Transport {
  /** As sentences name it: "unix:///run/gantry/api.sock", "tcp://192.0.2.11:4330". */
  readonly address: string;
  /** Lines of the head that every request carries. */
  readonly headers: readonly string[];
  /** A connection that may be written to. */
  open(): Socket | Promise<Socket>;
  /** Says in one sentence why the connection failed, and what to do; undefined when it was lost later. */
  describe(error: unknown): Error | undefined;
}

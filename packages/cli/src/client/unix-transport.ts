import { connect, type Socket } from 'node:net';
import { ApiFailure, NobodyAnswers } from '../failures.js';
import type { Transport } from './transport.js';

/** The api's socket on this machine. */
export class UnixTransport implements Transport {
  readonly headers = [];
  readonly address: string;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    this.address = `unix://${path}`;
  }

  open(): Socket {
    const socket = connect({ path: this.#path, allowHalfOpen: true });
    // Failures are seen by whoever reads.
    return socket.on('error', () => undefined);
  }

  describe(error: unknown): Error | undefined {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED')
      return new NobodyAnswers({
        object: this.#path,
        message: `gantry is not running on this node: no answer at ${this.address}; start it with \`gantry up\``,
      });
    if (code === 'EACCES' || code === 'EPERM')
      return new ApiFailure({
        code: 'permission_denied',
        object: this.#path,
        message: `you may not use ${this.address}: be root, or a member of the group that owns it (which is as good as root)`,
      });
    return undefined;
  }
}

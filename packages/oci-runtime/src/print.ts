import { writeSync } from 'node:fs';
import { errorCode } from './failure.js';

/** Writes all of it before it returns: the program ends by process.exit. */
export function print(text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      // A pipe that the reader has set to non-blocking is full.
      if (errorCode(error) === 'EAGAIN') {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
        continue;
      }
      // Nobody reads any more.
      if (errorCode(error) === 'EPIPE') return;
      throw error;
    }
  }
}

import { closeSync, openSync, readSync } from 'node:fs';

export interface LogComparison {
  /** Bytes at the end of what was written that the log does not have. */
  readonly missing: number;
  readonly isEqual: boolean;
}

const CHUNK_BYTES = 8 << 20;
const NEWLINE = 10;

/** The low byte of U+FFFD. */
const REPLACEMENT = 0xfd;

/**
 * What is to be found in a log, a byte for a character: whatever is not ASCII is U+FFFD there, one for each byte, as long as none of
 * them begins a longer UTF-8 sequence.
 */
export function asLogged(written: Buffer): Buffer {
  const wanted = Buffer.from(written);
  for (let at = 0; at < wanted.length; at += 1) if ((wanted[at] ?? 0) >= 0x80) wanted[at] = REPLACEMENT;
  return wanted;
}

/** Whether a log in docker's form holds this, byte for byte. */
export function compareLog(path: string, wanted: Buffer): LogComparison {
  let at = 0;
  for (const line of linesOf(path)) {
    const part = Buffer.from((JSON.parse(line) as { log: string }).log, 'latin1');
    const end = Math.min(at + part.length, wanted.length);
    if (wanted.compare(part, 0, part.length, at, end) !== 0)
      return { missing: wanted.length - at, isEqual: false };
    at += part.length;
  }
  return { missing: wanted.length - at, isEqual: at === wanted.length };
}

function* linesOf(path: string): Generator<string> {
  const file = openSync(path, 'r');
  try {
    let rest = Buffer.alloc(0);
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const got = readSync(file, chunk);
      if (got === 0) break;
      const bytes = Buffer.concat([rest, chunk.subarray(0, got)]);
      let from = 0;
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
        yield bytes.toString('utf8', from, end);
        from = end + 1;
      }
      rest = bytes.subarray(from);
    }
    if (rest.length > 0) throw new Error(`${path} ends within a record`);
  } finally {
    closeSync(file);
  }
}

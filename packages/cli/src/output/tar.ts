// Not node:fs/promises: loading it, for the sake of this rare case, would be a tenth of what most commands take.
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UsageFailure } from '../failures.js';

const blockBytes = 512;

/** Plain files of a directory as a tar stream (POSIX ustar): an OCI layout has no others, and short names. */
export async function* tarOfDirectory(directory: string): AsyncGenerator<Uint8Array> {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(join(directory, '/').length);
    const { size } = statSync(path);
    yield header(name, size);
    let sent = 0;
    for await (const chunk of createReadStream(path, {
      end: Math.max(0, size - 1),
      highWaterMark: 1 << 20,
    })) {
      sent += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
    if (sent !== size) throw new UsageFailure(`${path} became shorter while it was read`);
    const rest = size % blockBytes;
    if (rest > 0) yield Buffer.alloc(blockBytes - rest);
  }
  yield Buffer.alloc(2 * blockBytes);
}

function header(name: string, size: number): Buffer {
  if (Buffer.byteLength(name) > 100) throw new UsageFailure(`${name} has too long a name for an OCI layout`);
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`;
  block.write(name, 0);
  block.write(octal(0o644, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(0, 12), 136);
  block.write('        0', 148);
  block.write('ustar\x0000', 257);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

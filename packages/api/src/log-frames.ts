import type { node } from '@gantry/protocol';
import { frameHeaderBytes, frameKinds } from '@gantry/protocol/stream-frames';
import { writeFrameHeader } from './frames.js';

/**
 * Turns log messages into frames, one buffer a message. With timestamps each line begins with its time as
 * docker writes it; the log splits long lines, so whether an entry begins one is known from the entry before it.
 */
export function createLogEncoder(
  timestamps: boolean,
): (message: node.ReadLogsResponse) => Buffer | undefined {
  const midLine: Record<string, boolean> = {};
  return ({ entries }) => {
    if (entries.length === 0) return undefined;
    const prefixes = entries.map(({ stream, timeUnixNanos, data }) => {
      const begins = midLine[stream] !== true;
      midLine[stream] = data.length > 0 && data[data.length - 1] !== lineFeed;
      return timestamps && begins ? Buffer.from(`${formatNanos(timeUnixNanos)} `) : empty;
    });
    let size = 0;
    for (const [index, { data }] of entries.entries())
      size += frameHeaderBytes + (prefixes[index] ?? empty).length + data.length;
    const made = Buffer.allocUnsafe(size);
    let offset = 0;
    for (const [index, { stream, data }] of entries.entries()) {
      const prefix = prefixes[index] ?? empty;
      const kind = stream === 'stderr' ? frameKinds.stderr : frameKinds.stdout;
      writeFrameHeader(made, offset, kind, prefix.length + data.length);
      made.set(prefix, offset + frameHeaderBytes);
      made.set(data, offset + frameHeaderBytes + prefix.length);
      offset += frameHeaderBytes + prefix.length + data.length;
    }
    return made;
  };
}

const lineFeed = 0x0a;
const empty = Buffer.alloc(0);

/** RFC 3339 with nine digits, as docker's; the last three are zero, since a number does not hold them. */
export function formatNanos(unixNanos: number): string {
  const micros = Math.round(unixNanos / 1e3);
  const seconds = Math.floor(micros / 1e6);
  const fraction = String(micros - seconds * 1e6).padStart(6, '0');
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${fraction}000Z`;
}

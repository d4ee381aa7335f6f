import type { node } from '@gantry/protocol';

export type LogEntry = node.LogEntry;

/** RFC 3339 with nanoseconds, as docker's json-file has it, in nanoseconds since 1970. A double keeps about 256 ns. */
export function parseTime(text: string): number {
  const dot = text.indexOf('.');
  if (dot < 0) return Date.parse(text) * 1e6;
  const end = text.slice(dot + 1).search(/[^0-9]/);
  const digits = end < 0 ? text.slice(dot + 1) : text.slice(dot + 1, dot + 1 + end);
  const zone = end < 0 ? 'Z' : text.slice(dot + 1 + end);
  return Date.parse(text.slice(0, dot) + zone) * 1e6 + Number(digits.slice(0, 9).padEnd(9, '0'));
}

/** One line of a json-file log; undefined when it is torn or something else. */
export function parseLogLine(line: string): LogEntry | undefined {
  try {
    const parsed = JSON.parse(line) as { log?: unknown; stream?: unknown; time?: unknown } | null;
    if (
      typeof parsed?.log !== 'string' ||
      typeof parsed.stream !== 'string' ||
      typeof parsed.time !== 'string'
    )
      return undefined;
    const timeUnixNanos = parseTime(parsed.time);
    if (Number.isNaN(timeUnixNanos)) return undefined;
    return { stream: parsed.stream, timeUnixNanos, data: Buffer.from(parsed.log, 'utf8') };
  } catch {
    return undefined;
  }
}

export interface LogFilter {
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** 0: from the start. */
  readonly sinceUnixNanos: number;
  /** 0: to the end. */
  readonly untilUnixNanos: number;
}

/** `past`: nothing after this entry can be wanted. */
export function judge(entry: LogEntry, filter: LogFilter): 'wanted' | 'unwanted' | 'past' {
  if (filter.untilUnixNanos > 0 && entry.timeUnixNanos > filter.untilUnixNanos) return 'past';
  if (filter.sinceUnixNanos > 0 && entry.timeUnixNanos < filter.sinceUnixNanos) return 'unwanted';
  return (entry.stream === 'stderr' ? filter.stderr : filter.stdout) ? 'wanted' : 'unwanted';
}

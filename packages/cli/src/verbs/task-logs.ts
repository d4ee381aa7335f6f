import type { Command } from 'commander';
import type { Client } from '../client/client.js';
import type { Context } from '../context.js';
import { parseInteger, parseMoment } from '../flags/quantities.js';
import { formatNanos } from '../output/human.js';
import { complain, writeBytes } from '../output/print.js';
import { hostnamesById } from './node-names.js';

export interface TaskLogFlags {
  follow?: boolean;
  since?: string;
  tail?: string;
  timestamps?: boolean;
  /** False with --no-task-names. */
  taskNames: boolean;
}

export function addTaskLogFlags(command: Command): Command {
  return command
    .option('-f, --follow', 'go on with what is written from now')
    .option('--since <moment>', '10m (ago), 2026-01-31T12:00:00Z or seconds since 1970')
    .option('-n, --tail <lines>', 'the last lines of each task only', 'all')
    .option('-t, --timestamps', 'each line begins with its time')
    .option('--no-task-names', 'the lines alone, without the task they are of');
}

/** A line of the api's answer. */
interface LogLine {
  readonly taskId?: string;
  readonly taskName?: string;
  readonly nodeId?: string;
  readonly stream?: string;
  readonly timeUnixNanos?: number;
  /** Base64. */
  readonly data?: string;
  readonly warning?: string;
}

/** A line may come in pieces; pieces of several tasks come mixed. */
interface Piece {
  readonly prefix: string;
  readonly stream: NodeJS.WriteStream;
  bytes: Buffer;
}

export async function showTaskLogs(
  { client }: Context,
  verb: string,
  path: string,
  flags: TaskLogFlags,
): Promise<void> {
  const tail =
    flags.tail === undefined || flags.tail === 'all' || flags.tail.startsWith('-')
      ? undefined
      : parseInteger(flags.tail, '--tail');
  const sinceUnixNanos =
    flags.since === undefined ? undefined : parseMoment(flags.since, '--since', Date.now());
  const lines = await client.lines<LogLine>('GET', path, {
    query: { follow: flags.follow, tail, sinceUnixNanos },
  });
  const name = flags.taskNames ? await taskNaming(client) : (): string => '';
  const pieces = new Map<string, Piece>();
  for await (const line of lines) {
    if (line.warning !== undefined) {
      complain(`gantry ${verb}: ${line.warning}`);
      continue;
    }
    const key = `${line.taskId ?? ''} ${line.stream ?? ''}`;
    let data = Buffer.from(line.data ?? '', 'base64');
    for (let end = data.indexOf(lineFeed); data.length > 0; end = data.indexOf(lineFeed)) {
      const piece = pieces.get(key) ?? {
        prefix: name(line) + (flags.timestamps === true ? `${formatNanos(line.timeUnixNanos ?? 0)} ` : ''),
        stream: line.stream === 'stderr' ? process.stderr : process.stdout,
        bytes: Buffer.alloc(0),
      };
      const upTo = end === -1 ? data.length : end + 1;
      piece.bytes = Buffer.concat([piece.bytes, data.subarray(0, upTo)]);
      data = data.subarray(upTo);
      if (end !== -1) {
        pieces.delete(key);
        await write(piece);
      } else pieces.set(key, piece);
    }
  }
  for (const piece of pieces.values()) {
    piece.bytes = Buffer.concat([piece.bytes, Buffer.from('\n')]);
    await write(piece);
  }
}

const lineFeed = 0x0a;

const write = ({ prefix, stream, bytes }: Piece): Promise<void> =>
  writeBytes(stream, prefix === '' ? bytes : Buffer.concat([Buffer.from(prefix), bytes]));

/** "shop_web.1@one    | ", as wide as the widest so far. */
async function taskNaming(client: Client): Promise<(line: LogLine) => string> {
  const hostnames = await hostnamesById(client);
  let width = 0;
  return ({ taskName = '', nodeId = '' }) => {
    const text = `${taskName}@${hostnames.get(nodeId) ?? nodeId}`;
    width = Math.max(width, text.length);
    return `${text.padEnd(width)} | `;
  };
}

import type { Command } from 'commander';
import { frameKinds } from '@gantry/protocol/stream-frames';
import { containerPath } from '../client/client.js';
import type { Context } from '../context.js';
import { parseInteger, parseMoment } from '../flags/quantities.js';
import { writeBytes } from '../output/print.js';

interface LogFlags {
  follow?: boolean;
  since?: string;
  tail?: string;
  timestamps?: boolean;
  until?: string;
}

export function configureLogs(command: Command, context: () => Context): void {
  command
    .argument('<container>')
    .usage('[flags] CONTAINER')
    .option('-f, --follow', 'go on with what is written from now')
    .option('--since <moment>', '10m (ago), 2026-01-31T12:00:00Z or seconds since 1970')
    .option('-n, --tail <lines>', 'the last lines only', 'all')
    .option('-t, --timestamps', 'each line begins with its time')
    .option('--until <moment>', 'as --since')
    .action((container: string, flags: LogFlags) => showLogs(context(), container, flags));
}

async function showLogs({ client }: Context, container: string, flags: LogFlags): Promise<void> {
  const now = Date.now();
  const tail =
    flags.tail === undefined || flags.tail === 'all' || flags.tail.startsWith('-')
      ? undefined
      : parseInteger(flags.tail, '--tail');
  const frames = await client.frames(containerPath(container, '/logs'), {
    follow: flags.follow,
    tail,
    timestamps: flags.timestamps,
    sinceUnixNanos: flags.since === undefined ? undefined : parseMoment(flags.since, '--since', now),
    untilUnixNanos: flags.until === undefined ? undefined : parseMoment(flags.until, '--until', now),
  });
  for await (const { kind, payload } of frames)
    await writeBytes(kind === frameKinds.stderr ? process.stderr : process.stdout, payload);
}

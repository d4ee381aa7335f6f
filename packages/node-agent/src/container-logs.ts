import type { node } from '@gantry/protocol';
import type { Container } from './container.js';
import type { AgentContext } from './context.js';
import { isActive } from './lifecycle.js';
import { readLogs } from './read-logs.js';
import { refusal } from './refuse.js';
import { logPath } from './start-attempt.js';

/** Which part of a container's output; neither stream named means both. */
export type LogWish = Omit<node.ReadLogsRequest, 'container'>;

/** A container's output in batches, following it as long as it may write. */
export function containerLogs(
  context: AgentContext,
  container: Container,
  { follow, tail, sinceUnixNanos, untilUnixNanos, stdout, stderr }: LogWish,
  signal: AbortSignal,
): ReturnType<typeof readLogs> {
  const { id, record } = container;
  if (record.spec.log?.driver === 'none')
    throw refusal(
      'failed_precondition',
      'ReadLogs',
      id,
      `container ${record.name} keeps no log (log driver none)`,
    );
  const both = !stdout && !stderr;
  return readLogs({
    path: logPath(context, id),
    follow,
    tail,
    sinceUnixNanos,
    untilUnixNanos,
    stdout: stdout || both,
    stderr: stderr || both,
    writing: () => isActive(container.life) || container.life.state === 'restarting',
    signal,
  });
}

import type { Command } from 'commander';
import { containerPath } from '../client/client.js';
import type { Context } from '../context.js';
import { ApiFailure, ExitWith, UsageFailure } from '../failures.js';
import { parseEnvironment, readEnvironmentFile } from '../flags/pairs.js';
import { runSession, terminalSize } from '../terminal/session.js';
import { startFailureCode } from './run.js';

interface ExecFlags {
  detach?: boolean;
  env?: string[];
  envFile?: string[];
  interactive?: boolean;
  privileged?: boolean;
  tty?: boolean;
  user?: string;
  workdir?: string;
}

const gather = (value: string, before: string[] = []): string[] => [...before, value];

export function configureExec(command: Command, context: () => Context): void {
  command
    .argument('<container>')
    .argument('<command...>')
    .usage('[flags] CONTAINER COMMAND [ARGUMENT...]')
    .option('-d, --detach', 'leave it running')
    .option('-e, --env <name=value>', 'environment variable', gather)
    .option('--env-file <file>', 'file of environment variables', gather)
    .option('-i, --interactive', 'send it our standard input')
    .option('--privileged', 'all capabilities')
    .option('-t, --tty', 'give it a terminal')
    .option('-u, --user <user[:group]>', 'user, by name or number')
    .option('-w, --workdir <path>', 'working directory')
    .passThroughOptions()
    .action((container: string, words: string[], flags: ExecFlags) =>
      exec(context(), container, words, flags),
    );
}

async function exec(
  { client, environment }: Context,
  container: string,
  words: string[],
  flags: ExecFlags,
): Promise<void> {
  const stdin = flags.interactive === true && flags.detach !== true;
  const terminal = flags.tty === true;
  if (stdin && terminal && !process.stdin.isTTY)
    throw new UsageFailure('standard input is no terminal: leave out -t, or -i');
  try {
    const { execId } = await client.post<{ execId: string }>(containerPath(container, '/execs'), {
      command: words,
      environment: [
        ...(flags.envFile ?? []).flatMap((path) => readEnvironmentFile(path, environment)),
        ...(flags.env ?? []).flatMap((text) => parseEnvironment(text, environment)),
      ],
      workingDirectory: flags.workdir ?? '',
      user: flags.user ?? '',
      terminal,
      openStdin: stdin,
      privileged: flags.privileged === true,
    });
    if (flags.detach === true) {
      await client.request('POST', `/v1/execs/${execId}/start`, { query: { detach: true } });
      return;
    }
    const attached = await client.attach(`/v1/execs/${execId}/start`, { stdin, ...terminalSize(terminal) });
    const end = await runSession(attached, { stdin, terminal });
    throw new ExitWith(end === 'detached' ? 0 : end.exitCode);
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    const exitCode = startFailureCode(error);
    throw new ExitWith(exitCode === 125 ? 1 : exitCode, error.message);
  }
}

import type { Command } from 'commander';
import { containerPath, type Client } from '../client/client.js';
import type { Context } from '../context.js';
import { ApiFailure, ExitWith, NobodyAnswers } from '../failures.js';
import { parseInteger } from '../flags/quantities.js';
import { complain, print } from '../output/print.js';
import { exitCodeOf, survivingRestarts } from '../terminal/resume.js';

/**
 * Does the same to every container at once; prints what each gave in the order asked, complains about those that
 * failed, and fails when one did.
 */
export async function forEach(
  verb: string,
  names: readonly string[],
  act: (name: string) => Promise<string>,
): Promise<void> {
  const results = await Promise.allSettled([...new Set(names)].map(act));
  let failed = false;
  for (const result of results) {
    if (result.status === 'fulfilled') {
      if (result.value !== '') print(result.value);
      continue;
    }
    failed = true;
    const reason: unknown = result.reason;
    complain(`gantry ${verb}: ${reason instanceof Error ? reason.message : String(reason)}`);
    // All the others have the same trouble.
    if (reason instanceof NobodyAnswers) break;
  }
  if (failed) throw new ExitWith(1);
}

/** The plainest verbs: one POST for each container. */
function simply(command: Command, context: () => Context, verb: string): void {
  command
    .argument('<container...>')
    .usage('CONTAINER [CONTAINER...]')
    .action((names: string[]) => forEach(verb, names, (name) => post(context().client, name, verb)));
}

async function post(client: Client, name: string, verb: string, body: unknown = {}): Promise<string> {
  await client.post(containerPath(name, `/${verb}`), body);
  return name;
}

export const configurePause = (command: Command, context: () => Context): void =>
  simply(command, context, 'pause');
export const configureUnpause = (command: Command, context: () => Context): void =>
  simply(command, context, 'unpause');

function addEndingFlags(command: Command): Command {
  return command
    .argument('<container...>')
    .usage('[flags] CONTAINER [CONTAINER...]')
    .option('-t, --time <seconds>', 'time until SIGKILL')
    .option('-s, --signal <signal>', 'signal that asks it to stop');
}

interface EndingFlags {
  time?: string;
  signal?: string;
}

function endingAction(context: () => Context, verb: 'stop' | 'restart') {
  return (names: string[], flags: EndingFlags): Promise<void> => {
    const body = {
      ...(flags.time === undefined
        ? {}
        : { timeoutSeconds: parseInteger(flags.time, '--time', { maximum: 0xffff_ffff }) }),
      ...(flags.signal === undefined ? {} : { signal: flags.signal }),
    };
    return forEach(verb, names, (name) => post(context().client, name, verb, body));
  };
}

export function configureStop(command: Command, context: () => Context): void {
  addEndingFlags(command).action(endingAction(context, 'stop'));
}

export function configureRestart(command: Command, context: () => Context): void {
  addEndingFlags(command).action(endingAction(context, 'restart'));
}

export function configureKill(command: Command, context: () => Context): void {
  command
    .argument('<container...>')
    .usage('[flags] CONTAINER [CONTAINER...]')
    .option('-s, --signal <signal>', 'name or number', 'KILL')
    .action((names: string[], { signal }: { signal: string }) =>
      forEach('kill', names, (name) => post(context().client, name, 'kill', { signal })),
    );
}

export function configureRm(command: Command, context: () => Context): void {
  command
    .argument('<container...>')
    .usage('[flags] CONTAINER [CONTAINER...]')
    .option('-f, --force', 'kill it first when it runs; none of that name is fine')
    .option('-v, --volumes', 'and its anonymous volumes')
    .action((names: string[], { force = false, volumes = false }: { force?: boolean; volumes?: boolean }) =>
      forEach('rm', names, async (name) => {
        try {
          await context().client.request('DELETE', containerPath(name), { query: { force, volumes } });
          return name;
        } catch (error) {
          if (!(force && error instanceof ApiFailure && error.code === 'not_found')) throw error;
          complain(`gantry rm: ${error.message}`);
          return '';
        }
      }),
    );
}

export function configureWait(command: Command, context: () => Context): void {
  command
    .argument('<container...>')
    .usage('CONTAINER [CONTAINER...]')
    .action((names: string[]) =>
      forEach('wait', names, async (name) => {
        const { client } = context();
        return String(await survivingRestarts(client, () => exitCodeOf(client, name)));
      }),
    );
}

export function configureRename(command: Command, context: () => Context): void {
  command
    .argument('<container>')
    .argument('<name>')
    .usage('CONTAINER NAME')
    .action(async (container: string, name: string) => {
      await context().client.post(containerPath(container, '/rename'), { name });
    });
}

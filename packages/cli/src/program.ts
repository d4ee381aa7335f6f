import { Command, CommanderError } from 'commander';
import { createContext, type Context, type Environment, type GlobalFlags } from './context.js';
import { ApiFailure, ExitWith, UsageFailure } from './failures.js';
import { flagsNotDone } from './flags/container-flags.js';
import { complain } from './output/print.js';
import type { Verb } from './verb.js';
import { verbs } from './verbs.js';
import { version } from './version.js';

/** Runs one command line. Resolves with the exit code. */
export async function runCommandLine(words: readonly string[], environment: Environment): Promise<number> {
  const verb = findVerb(words);
  const title = verb === undefined ? 'gantry' : `gantry ${verb.name}`;
  const failureCode = verb?.failureCode ?? 1;
  try {
    const program = createProgram();
    let context: Context | undefined;
    const getContext = (): Context => (context ??= createContext(program.opts<GlobalFlags>(), environment));
    for (const one of verb === undefined ? verbs : [verb]) {
      const command = program.command(one.name, { hidden: one.hidden === true }).summary(one.summary);
      command.description(one.summary).helpGroup(`${one.group}:`).helpOption('--help', 'show this');
      prepare(command);
      if (one === verb) (await one.load())(command, getContext);
    }
    const ready = verb === undefined ? words : readTruthValues(words, program.commands[0]);
    await program.parseAsync([...ready], { from: 'user' });
    return 0;
  } catch (error) {
    return report(error, title, failureCode, verb);
  }
}

/** The first word that is no global flag. */
function findVerb(words: readonly string[]): Verb | undefined {
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (word === '--host' || word === '-H' || word === '--context') at += 1;
    else if (!word.startsWith('-')) return verbs.find(({ name }) => name === word);
  }
  return undefined;
}

function createProgram(): Command {
  const program = new Command('gantry')
    .description('Containers of this node and services of its cluster, with the words of docker.')
    .option(
      '-H, --host <address>',
      'where gantry listens: unix:///path/to/api.sock, or tcp://ADDRESS[:PORT] with GANTRY_TOKEN (GANTRY_HOST)',
    )
    .option('--context <name>', 'address and token that `gantry context create` has kept (GANTRY_CONTEXT)')
    .version(version, '--version', 'show the version')
    .helpOption('--help', 'show this')
    .helpCommand(false)
    .enablePositionalOptions();
  program
    .allowExcessArguments()
    .argument('[verb]')
    .action((verb?: string) => {
      if (verb !== undefined) throw new UsageFailure(`there is no verb "${verb}"; see gantry --help`);
      program.help({ error: true });
    });
  prepare(program);
  return program;
}

/** Failures are thrown, and reported in one place. */
export function prepare(command: Command): void {
  command
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError(false);
}

/** Go's spelling of flags without a value: `--rm=false`. What is on by itself has a `--no-` beside it. */
function readTruthValues(words: readonly string[], command: Command | undefined): string[] {
  const options = [command, ...(command?.commands ?? [])].flatMap((one) => one?.options ?? []);
  const truths = new Set(options.filter((option) => option.isBoolean()).map((option) => option.long));
  const opposites = new Set(options.filter((option) => option.negate).map((option) => option.long));
  let open = true;
  return words.flatMap((word) => {
    if (word === '--') open = false;
    const match = open ? /^--([\w-]+)=(true|false|1|0)$/.exec(word) : null;
    if (match === null || !truths.has(`--${match[1] ?? ''}`)) return [word];
    const [, name = '', value] = match;
    if (value === 'true' || value === '1') return [`--${name}`];
    return opposites.has(`--no-${name}`) ? [`--no-${name}`] : [];
  });
}

function report(error: unknown, title: string, failureCode: number, verb: Verb | undefined): number {
  if (error instanceof ExitWith) {
    if (error.message !== '') complain(`${title}: ${error.message}`);
    return error.exitCode;
  }
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code === 'commander.help') return failureCode;
    complain(`${title}: ${explainUsage(error, verb)}`);
    complain(`See '${title} --help'.`);
    return failureCode;
  }
  if (error instanceof UsageFailure || error instanceof ApiFailure) {
    complain(`${title}: ${error.message}`);
    return failureCode;
  }
  const { message, stack } = error as Error;
  complain(`${title}: ${message}`);
  if (process.env['GANTRY_DEBUG'] !== undefined) complain(stack ?? '');
  return failureCode;
}

function explainUsage(error: CommanderError, verb: Verb | undefined): string {
  const text = error.message.replace(/^error: /, '').replace(/^\w/, (letter) => letter.toLowerCase());
  if (error.code === 'commander.unknownCommand') return text.replace('unknown command', 'there is no verb');
  if (error.code !== 'commander.unknownOption') return text;
  const flag = /'(-[^'=]*)/.exec(text)?.[1] ?? '';
  const known = flagsNotDone[verb?.name === 'create' ? 'run' : (verb?.name ?? '')] ?? [];
  return known.includes(flag)
    ? `flag ${flag} is docker's, but gantry does not do it`
    : `there is no flag ${flag}`;
}

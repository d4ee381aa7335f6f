import type { Command } from 'commander';
import { containerPath, type Client } from '../client/client.js';
import type { Context } from '../context.js';
import { ExitWith, UsageFailure } from '../failures.js';
import { parseDetachKeys } from '../terminal/detach-keys.js';
import { runSession, terminalSize } from '../terminal/session.js';
import { SignalProxy } from '../terminal/signals.js';
import { forEach } from './lifecycle.js';

interface AttachFlags {
  detachKeys?: string;
  sigProxy?: boolean;
}

interface StartFlags extends AttachFlags {
  attach?: boolean;
  interactive?: boolean;
}

interface Inspected {
  readonly Id: string;
  readonly State: { readonly Running: boolean; readonly Paused: boolean };
  readonly Config: { readonly Tty: boolean; readonly OpenStdin: boolean };
}

export function configureStart(command: Command, context: () => Context): void {
  command
    .argument('<container...>')
    .usage('[flags] CONTAINER [CONTAINER...]')
    .option('-a, --attach', 'show its output and end with its exit code')
    .option('-i, --interactive', 'send it our standard input')
    .option('--detach-keys <keys>', 'keys that leave it [ctrl-p,ctrl-q]')
    .option('--no-sig-proxy', 'keep signals to ourselves')
    .action(async (names: string[], flags: StartFlags) => {
      const { client } = context();
      if (flags.attach !== true && flags.interactive !== true)
        return forEach('start', names, async (name) => {
          await client.post(containerPath(name, '/start'));
          return name;
        });
      const [name = ''] = names;
      if (names.length > 1) throw new UsageFailure('only one container can be started and attached to');
      return join(client, name, flags.interactive === true, flags, () =>
        client.post(containerPath(name, '/start')),
      );
    });
}

export function configureAttach(command: Command, context: () => Context): void {
  command
    .argument('<container>')
    .usage('[flags] CONTAINER')
    .option('--detach-keys <keys>', 'keys that leave it [ctrl-p,ctrl-q]')
    .option('--no-stdin', 'do not send our standard input')
    .option('--no-sig-proxy', 'keep signals to ourselves')
    .action(async (name: string, flags: AttachFlags & { stdin: boolean }) => {
      const { client } = context();
      const { State } = await client.get<Inspected>(containerPath(name));
      if (!State.Running)
        throw new UsageFailure(`container ${name} is not running: start it, or see \`gantry logs ${name}\``);
      if (State.Paused) throw new UsageFailure(`container ${name} is paused: unpause it first`);
      return join(client, name, flags.stdin, flags, () => Promise.resolve());
    });
}

/** Attaches, lets it begin, and ends with its exit code. */
async function join(
  client: Client,
  name: string,
  wantsInput: boolean,
  flags: AttachFlags,
  begin: () => Promise<unknown>,
): Promise<void> {
  const { Config } = await client.get<Inspected>(containerPath(name));
  const terminal = Config.Tty;
  const stdin = wantsInput && Config.OpenStdin;
  const detachKeys = flags.detachKeys === undefined ? undefined : parseDetachKeys(flags.detachKeys);
  const attached = await client.attach(containerPath(name, '/attach'), { stdin, ...terminalSize(terminal) });
  if (flags.sigProxy !== false && !terminal)
    new SignalProxy(() => undefined).forwardTo((signal) =>
      client.post(containerPath(name, '/kill'), { signal }),
    );
  const started = begin();
  const session = runSession(attached, {
    stdin,
    started,
    terminal,
    ...(detachKeys === undefined ? {} : { detachKeys }),
  });
  session.catch(() => undefined);
  await started;
  const end = await session;
  throw new ExitWith(end === 'detached' ? 0 : end.exitCode);
}

import { rmSync, statSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { containerPath, imagePath, type Client } from '../client/client.js';
import type { ContainerSpec, WaitLine } from '../client/types.js';
import type { Context } from '../context.js';
import { ApiFailure, ExitWith, UsageFailure, isApiFailure } from '../failures.js';
import { addContainerFlags, type ContainerFlags } from '../flags/container-flags.js';
import { specFromFlags } from '../flags/container-spec.js';
import { describeErrno } from '../flags/pairs.js';
import { complain, print } from '../output/print.js';
import { parseDetachKeys } from '../terminal/detach-keys.js';
import { runSession, terminalSize } from '../terminal/session.js';
import { SignalProxy, endedBySignal } from '../terminal/signals.js';

interface RunFlags extends ContainerFlags {
  detach?: boolean;
  detachKeys?: string;
  sigProxy?: boolean;
}

interface Created {
  readonly id: string;
  readonly name: string;
  readonly warnings: readonly string[];
}

export function configureRun(command: Command, context: () => Context): void {
  addContainerFlags(command)
    .argument('<image>')
    .argument('[command...]')
    .usage('[flags] IMAGE [COMMAND [ARGUMENT...]]')
    .option('-d, --detach', 'leave it running and print its id')
    .option('--detach-keys <keys>', 'keys that leave an attached container [ctrl-p,ctrl-q]')
    .option('--no-sig-proxy', 'keep signals to ourselves')
    .passThroughOptions()
    .action((image: string, words: string[], flags: RunFlags) => run(context(), image, words, flags));
}

export function configureCreate(command: Command, context: () => Context): void {
  addContainerFlags(command)
    .argument('<image>')
    .argument('[command...]')
    .usage('[flags] IMAGE [COMMAND [ARGUMENT...]]')
    .passThroughOptions()
    .action(async (image: string, words: string[], flags: ContainerFlags) => {
      const { client, environment } = context();
      const created = await createContainer(client, specFromFlags(image, words, flags, environment), flags, {
        pulling: false,
      });
      print(created.id);
    });
}

async function run(
  { client, environment }: Context,
  image: string,
  words: string[],
  flags: RunFlags,
): Promise<void> {
  const spec = specFromFlags(image, words, flags, environment);
  const detach = flags.detach === true;
  const stdin = !detach && flags.interactive === true;
  const terminal = flags.tty === true;
  const detachKeys = flags.detachKeys === undefined ? undefined : parseDetachKeys(flags.detachKeys);
  if (stdin && terminal && !process.stdin.isTTY)
    throw new UsageFailure('standard input is no terminal: leave out -t, or -i');

  // Until something runs, a signal means: forget it.
  const interruption: Interruption = { pulling: false };
  const signals = new SignalProxy((signal) => {
    if (interruption.pulling) process.exit(endedBySignal(signal).exitCode);
    interruption.signal ??= signal;
  });
  const { id } = await createContainer(client, spec, flags, interruption);
  const forget = async (): Promise<void> => {
    await client
      .request('DELETE', containerPath(id), { query: { force: true, volumes: true } })
      .catch(() => undefined);
  };
  if (interruption.signal !== undefined) {
    await forget();
    throw endedBySignal(interruption.signal);
  }
  // What could not be started is nothing that anybody asked to keep: the name is free for the next try.
  const begin = (): Promise<void> => start(client, id, forget);
  if (detach) {
    await begin();
    print(id);
    return;
  }

  // Attached before it starts, so that no byte is lost; waited for before it starts, so that no exit is missed.
  const removed = flags.rm === true ? awaitRemoval(client, id) : undefined;
  const attached = await client.attach(containerPath(id, '/attach'), { stdin, ...terminalSize(terminal) });
  const removal = await removed;
  const shown = { stdout: 0, stderr: 0 };
  const started = begin();
  const session = runSession(attached, {
    ...{ stdin, started, terminal, shown },
    ...(detachKeys === undefined ? {} : { detachKeys }),
  });
  session.catch(() => undefined);
  await started;
  const kill = (signal: string): Promise<unknown> => client.post(containerPath(id, '/kill'), { signal });
  if (flags.sigProxy === false || terminal) signals.close();
  else signals.forwardTo(kill);
  if (interruption.signal !== undefined) await kill(interruption.signal).catch(() => undefined);

  // Input cannot be sent twice and a terminal cannot be drawn again; all others outlive a restart of gantry.
  const resumes = !stdin && !terminal && flags.logDriver !== 'none';
  const end = await session.catch(async (error: unknown) => {
    if (!resumes || !isApiFailure(error, 'unavailable')) throw error;
    const { resumeFromLog } = await import('../terminal/resume.js');
    return { exitCode: await resumeFromLog(client, id, shown) };
  });
  if (end === 'detached') throw new ExitWith(0);
  // `--rm` has promised that the name is free again when we return.
  await removal?.whenRemoved;
  throw new ExitWith(end.exitCode);
}

/** Resolves when the wait is registered; `whenRemoved` when the container is gone, or when nobody can tell. */
async function awaitRemoval(client: Client, id: string): Promise<{ readonly whenRemoved: Promise<unknown> }> {
  const lines = await client.lines<WaitLine>('POST', containerPath(id, '/wait'), {
    query: { condition: 'removed' },
  });
  await lines.next();
  return { whenRemoved: lines.next().catch(() => undefined) };
}

/** A signal that came before there was somebody to give it to. */
interface Interruption {
  /** A pull can be broken off at once; a container under way must be removed. */
  pulling: boolean;
  signal?: string;
}

/** Creates, and pulls first when the image is missing or `--pull always` asks for it. */
async function createContainer(
  client: Client,
  spec: ContainerSpec,
  flags: ContainerFlags,
  interruption: Interruption,
): Promise<Created> {
  if (!['missing', 'always', 'never'].includes(flags.pull))
    throw new UsageFailure(`--pull: "${flags.pull}" is none of missing, always, never`);
  const pull = async (): Promise<void> => {
    if (interruption.signal !== undefined) throw endedBySignal(interruption.signal);
    interruption.pulling = true;
    const request = { reference: spec.image, platform: flags.platform ?? '', policy: 'always' };
    const { pullImage } = await import('./pull.js');
    await pullImage(client, request, process.stderr, flags.quiet === true);
    interruption.pulling = false;
  };
  // Made before the container is, so that a second one of the same name is refused early.
  if (flags.cidfile !== undefined) reserveIdFile(flags.cidfile);
  try {
    if (flags.pull === 'always' || (await hasOtherPlatform(client, spec.image, flags))) await pull();
    const request = { name: flags.name ?? '', spec, idempotencyKey: onceKey() };
    let created: Created;
    try {
      created = await client.post<Created>('/v1/containers', request);
    } catch (error) {
      if (
        !isApiFailure(error, 'not_found') ||
        flags.pull !== 'missing' ||
        (await hasImage(client, spec.image))
      )
        throw error;
      if (flags.quiet !== true) complain(`image ${spec.image} is not here: pulling it`);
      await pull();
      created = await client.post<Created>('/v1/containers', request);
    }
    for (const warning of created.warnings) complain(`warning: ${warning}`);
    if (flags.cidfile !== undefined) writeFileSync(flags.cidfile, created.id);
    return created;
  } catch (error) {
    if (flags.cidfile !== undefined) rmSync(flags.cidfile, { force: true });
    throw error;
  }
}

/** Unlike any other call's. Loading node:crypto for a random one would cost milliseconds. */
const onceKey = (): string => `${process.pid}-${process.hrtime.bigint()}-${Math.random()}`;

function reserveIdFile(path: string): void {
  try {
    writeFileSync(path, '', { flag: 'wx' });
    process.once('exit', () => {
      if (statSync(path, { throwIfNoEntry: false })?.size === 0) rmSync(path);
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageFailure(
      `--cidfile: ${path} ${code === 'EEXIST' ? 'exists already' : `cannot be written: ${describeErrno(error)}`}`,
    );
  }
}

async function hasImage(client: Client, image: string): Promise<boolean> {
  try {
    await client.get(imagePath(image));
    return true;
  } catch (error) {
    return !isApiFailure(error, 'not_found');
  }
}

/** Whether the image that is here is for another platform than the one asked for, and may be pulled anew. */
async function hasOtherPlatform(client: Client, image: string, flags: ContainerFlags): Promise<boolean> {
  const { platform } = flags;
  if (platform === undefined) return false;
  if (!/^[a-z0-9]+\/[a-z0-9_]+(\/[a-z0-9]+)?$/.test(platform))
    throw new UsageFailure(
      `--platform: "${platform}" is not os/arch or os/arch/variant, such as linux/amd64`,
    );
  if (!(await hasImage(client, image))) return false;
  const here = await client.get<{ platform: string }>(imagePath(image));
  if (`${here.platform}/`.startsWith(`${platform}/`)) return false;
  if (flags.pull !== 'never') return true;
  throw new UsageFailure(`--platform: image ${image} is here for ${here.platform}, not for ${platform}`);
}

/** Starts it. A program that is not there or may not be executed has exit codes of its own, as in a shell. */
export async function start(client: Client, id: string, forget?: () => Promise<void>): Promise<void> {
  try {
    await client.post(containerPath(id, '/start'));
  } catch (error) {
    await forget?.();
    throw error instanceof ApiFailure ? new ExitWith(startFailureCode(error), error.message) : error;
  }
}

/** 127: no such program; 126: it may not be executed; 125: the rest. */
export function startFailureCode({ code, message }: ApiFailure): number {
  if (!/\b(exec|program|command)\b/i.test(message)) return 125;
  if (/is not in the container|no such file or directory|not found|ENOENT/i.test(message)) return 127;
  if (
    code === 'permission_denied' ||
    /cannot be executed|permission denied|exec format|is a directory|EACCES|ENOEXEC/i.test(message)
  )
    return 126;
  return 125;
}

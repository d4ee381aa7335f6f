import { spawn } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import type { Context } from '../context.js';
import { ApiFailure, ExitWith, NobodyAnswers, UsageFailure } from '../failures.js';
import { complain, print } from '../output/print.js';

export function configureUp(command: Command, context: () => Context): void {
  command
    .argument('[settings...]')
    .usage('[flags] [settings of gantryd...]')
    .option('-d, --detach', 'in the background: returns when the node is ready')
    .allowUnknownOption()
    .action((settings: string[], { detach = false }: { detach?: boolean }) =>
      up(context(), settings, detach),
    );
}

export function configureDown(command: Command, context: () => Context): void {
  command
    .argument('[settings...]')
    .usage('[flags] [settings of gantryd...]')
    .option('--keep-containers', 'containers run on; the next `gantry up` takes them over')
    .allowUnknownOption()
    .action((settings: string[], { keepContainers = false }: { keepContainers?: boolean }) =>
      down(context(), settings, keepContainers),
    );
}

async function up(context: Context, settings: string[], detach: boolean): Promise<void> {
  refuseElsewhere(context, 'start');
  refuseUnlessRoot('start');
  const flags = [...runDirectoryOf(context, settings), ...settings];
  if (!detach) {
    // gantryd takes our place: Ctrl-C, exit code and memory are its own.
    const gantryd = findGantryd();
    process.execve?.(gantryd, [gantryd, ...flags], process.env);
    throw new ExitWith(await runGantryd(flags));
  }
  const exitCode = await runGantryd(['--detach', ...flags]);
  if (exitCode !== 0) throw new ExitWith(exitCode);
  const facts = readFacts(directoryIn(settings) ?? context.runDirectory);
  print(`gantry is up: unix://${facts.socketPath}${facts.nodeId === '' ? '' : `, node ${facts.nodeId}`}`);
}

async function down(context: Context, settings: string[], keepContainers: boolean): Promise<void> {
  refuseElsewhere(context, 'stop');
  refuseUnlessRoot('stop');
  if (!keepContainers) await stopContainers(context, settings);
  const flags = [
    '--stop',
    ...(keepContainers ? ['--keep-containers'] : []),
    ...runDirectoryOf(context, settings),
    ...settings,
  ];
  const exitCode = await runGantryd(flags);
  if (exitCode !== 0) throw new ExitWith(exitCode);
  print(keepContainers ? 'gantry is down; containers run on' : 'gantry is down');
}

/** Stops them through the api, which can tell how many; what it cannot do, the teardown does. */
async function stopContainers({ client }: Context, settings: string[]): Promise<void> {
  // Settings may name another node than the one that the client talks to.
  if (settings.length > 0) return;
  try {
    const { stoppedCount } = await client.post<{ stoppedCount: number }>('/v1/containers/stop-all');
    if (stoppedCount > 0) print(`stopped ${stoppedCount} container${stoppedCount === 1 ? '' : 's'}`);
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    if (!(error instanceof NobodyAnswers)) complain(`gantry down: ${error.message}`);
  }
}

function refuseElsewhere({ remote, client }: Context, what: string): void {
  if (!remote) return;
  throw new UsageFailure(
    `gantry can be ${what === 'stop' ? 'stopped' : 'started'} on this machine only, and the words here go to ${client.address}: unset GANTRY_HOST and GANTRY_CONTEXT, or use --context default`,
  );
}

function refuseUnlessRoot(what: string): void {
  if (process.getuid?.() === 0) return;
  throw new UsageFailure(
    `only root can ${what} gantry: containers are made of mounts, namespaces and cgroups (try sudo)`,
  );
}

const directoryIn = (settings: readonly string[]): string | undefined => {
  const at = settings.findIndex((word) => word === '--run-dir' || word.startsWith('--run-dir='));
  if (at === -1) return undefined;
  return settings[at]?.includes('=') === true ? settings[at].slice('--run-dir='.length) : settings[at + 1];
};

/** The node that the other verbs talk to is the one that is started and stopped. */
function runDirectoryOf({ runDirectory, environment }: Context, settings: readonly string[]): string[] {
  const given = environment['GANTRY_RUN_DIR'] !== undefined || environment['GANTRY_HOST'] !== undefined;
  return given && directoryIn(settings) === undefined ? ['--run-dir', runDirectory] : [];
}

/** Facts that gantryd writes when every service answers. */
function readFacts(runDirectory: string): { nodeId: string; socketPath: string } {
  let nodeId = '';
  try {
    nodeId = (JSON.parse(readFileSync(join(runDirectory, 'gantryd.json'), 'utf8')) as { node_id: string })
      .node_id;
  } catch {
    // Of use to people only.
  }
  return { nodeId, socketPath: join(runDirectory, 'api.sock') };
}

/** gantryd stands beside us: in a checkout in bin, in a package likewise. Ctrl-C reaches it by itself. */
function runGantryd(flags: readonly string[]): Promise<number> {
  const program = findGantryd();
  return new Promise((resolve, reject) => {
    const child = spawn(program, flags, { stdio: 'inherit' });
    const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
    // The terminal sends SIGINT to both; SIGTERM comes to us alone.
    process.on('SIGINT', () => undefined);
    process.on('SIGTERM', forward).on('SIGHUP', forward);
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
}

function findGantryd(): string {
  const ourselves = dirname(realpathSync(process.argv[1] ?? '.'));
  // From the bundle in build/gantry, and from the compiled package in packages/cli/dist.
  const candidates = [join(ourselves, '../../bin/gantryd'), join(ourselves, '../../../bin/gantryd')];
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) throw new UsageFailure(`gantryd is not there: looked at ${candidates.join(', ')}`);
  return found;
}

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { asGantryError, type GantryError } from '@gantry/protocol';
import { helpText, parseCommandLine, type CommandLine } from './command-line.js';
import { loadConfig, printConfig } from './config.js';
import type { NodeConfig } from './config-schema.js';
import { reportToStarter, startDetached } from './detach.js';
import { loadNodeId } from './identity.js';
import { createLogger } from './logger.js';
import { lockNode } from './node-lock.js';
import { startNode, stopNode, type RunningNode } from './node.js';
import { emptyRunDirectory } from './run-directory.js';
import { reportToServiceManager } from './service-manager.js';
import { stopRunningNode } from './stop.js';
import { tearDownNode } from './tear-down.js';
import { version } from './version.js';

/** Exit codes: 0 done, 1 failed, 2 asked wrongly. */
async function main(words: readonly string[]): Promise<number> {
  const commandLine = parseCommandLine(words);
  if (commandLine.action === 'help') return say(helpText());
  if (commandLine.action === 'version') return say(`gantryd ${version}\n`);
  const config = loadConfig({
    file: commandLine.configFile ?? process.env['GANTRY_CONFIG'],
    environment: process.env,
    flags: commandLine.settings,
  });
  switch (commandLine.action) {
    case 'print-config':
      return say(printConfig(config));
    case 'stop':
      await stopRunningNode(config, commandLine.keepContainers);
      return 0;
    case 'detach':
      await startDetached(config, commandLine);
      return 0;
    case 'run':
      return run(config, commandLine);
  }
}

type Ending = 'leave' | 'tear-down';

/** Runs until a signal ends it. */
async function run(config: NodeConfig, { service }: CommandLine): Promise<number> {
  if (process.getuid?.() !== 0)
    throw new Error('gantryd must run as root: it makes mounts, namespaces and cgroups');
  // Whatever root's shell says: directories that containers must pass through are made with modes of their own.
  process.umask(0o022);
  const ending = waitForEnding();
  const unlock = lockNode(config.run_dir, service);
  try {
    const nodeId = loadNodeId(config.state_dir);
    const logger = createLogger(config, nodeId);
    // One request that fails where nobody waits for it must not take down a whole node. An exception still ends the
    // process: then nothing is known of its state, and the next one adopts everything.
    process.on('unhandledRejection', (reason) =>
      logger.error({ err: reason }, 'a failure that nobody waited for'),
    );
    const node = await startNode({ config, nodeId, service, logger });
    const what =
      service === undefined
        ? `node ${nodeId} is up, api on ${join(config.run_dir, 'api.sock')}`
        : `${service} is up`;
    process.stdout.write(`gantry: ${what}\n`);
    reportToStarter('ready');
    reportToServiceManager(logger);
    return await end(node, await ending);
  } finally {
    unlock();
  }
}

async function end(node: RunningNode, how: Ending): Promise<number> {
  const { config, service } = node.options;
  if (how === 'leave') {
    await stopNode(node);
    return 0;
  }
  const errors = await tearDownNode(node);
  for (const error of errors) complain(error);
  // Services alone share the directory: `gantryd --stop` empties it after the last.
  if (service === undefined && existsSync(config.run_dir)) emptyRunDirectory(config.run_dir);
  return errors.length === 0 ? 0 : 1;
}

/** Armed before anything is started: a signal during the start waits for its end, so that nothing is left half-made. */
function waitForEnding(): Promise<Ending> {
  return new Promise((resolve) => {
    let asked = false;
    const on = (signal: NodeJS.Signals, how: Ending): void => {
      process.on(signal, () => {
        if (asked && how === 'tear-down') {
          process.stderr.write(
            'gantry: interrupted again, leaving at once; "gantry up" takes over what is left\n',
          );
          process.exit(1);
        }
        asked = true;
        resolve(how);
      });
    };
    on('SIGINT', 'tear-down');
    on('SIGTERM', 'leave');
    on('SIGHUP', 'leave');
  });
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}

function complain(error: GantryError): void {
  process.stderr.write(`gantry: ${error.message}\n`);
}

// A closed terminal must not take the node with it.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const failure = asGantryError(error, 'gantryd');
    complain(failure);
    reportToStarter(failure.message);
    process.exit(failure.code === 'invalid_argument' ? 2 : 1);
  },
);

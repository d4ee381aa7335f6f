import { spawn } from 'node:child_process';
import { mkdirSync, openSync, writeSync, closeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { GantryError } from '@gantry/protocol';
import type { CommandLine } from './command-line.js';
import type { NodeConfig } from './config-schema.js';

/** Descriptor on which a detached gantryd tells its starter how it went: "ready", or the reason why not. */
const readyDescriptor = 3;
const readyVariable = 'GANTRY_READY_FD';
const readyTimeoutMs = 60_000;

/** Starts the same gantryd in a session of its own and resolves when it is ready. */
export async function startDetached(
  config: NodeConfig,
  { service, configFile, settings }: CommandLine,
): Promise<number> {
  mkdirSync(config.state_dir, { recursive: true, mode: 0o711 });
  const logFile = config.log_file === '' ? join(config.state_dir, 'gantryd.log') : config.log_file;
  const words = [...settings].flatMap(([flag, value]) => (flag === '--log-file' ? [] : [flag, value]));
  words.push('--log-file', logFile);
  if (service !== undefined) words.push('--service', service);
  // The detached process works in /, where a relative name means another file.
  if (configFile !== undefined) words.push('--config', resolve(configFile));

  const log = openSync(logFile, 'a', 0o640);
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', ...words], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', log, log, 'pipe'],
    env: { ...process.env, [readyVariable]: String(readyDescriptor) },
  });
  closeSync(log);
  const channel = child.stdio[readyDescriptor];
  if (channel === null || channel === undefined) throw new Error('no pipe to the detached gantryd');
  let said = '';
  const timer = setTimeout(() => channel.destroy(), readyTimeoutMs);
  try {
    for await (const chunk of channel as AsyncIterable<Buffer>) said += chunk.toString();
  } catch {
    // Cut off by the timer: what was said so far decides.
  } finally {
    clearTimeout(timer);
  }
  child.unref();
  if (said.trim() === 'ready') return child.pid ?? 0;
  throw new GantryError({
    code: 'unavailable',
    operation: 'start',
    message: said.trim() === '' ? `gantryd did not come up, see ${logFile}` : said.trim(),
  });
}

/** In the detached process: tells the starter, who then goes his way. Elsewhere: nothing. */
export function reportToStarter(message: string): void {
  if (process.env[readyVariable] === undefined) return;
  delete process.env[readyVariable];
  try {
    writeSync(readyDescriptor, `${message}\n`);
    closeSync(readyDescriptor);
  } catch {
    // The starter has gone; nobody waits any more.
  }
}

import { readFileSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { identifyProcess, type ProcessIdentity } from '../process-identity.js';

/**
 * The nats-server that was started with this configuration file, if it still runs.
 *
 * Its pid file is not asked: a gantryd that is killed right after the start would never have seen one, and a second
 * server would be started beside the first. The configuration's path is this node's alone, and stands in the command
 * line from the first moment.
 */
export function findServer(configPath: string): ProcessIdentity | undefined {
  for (const name of readdirSync('/proc')) {
    if (!/^[1-9]\d*$/.test(name)) continue;
    const pid = Number(name);
    if (!runsWith(pid, configPath)) continue;
    const identity = identifyProcess(pid);
    // Asked again: between the two readings the number may have become another's.
    if (identity !== undefined && runsWith(pid, configPath)) return identity;
  }
  return undefined;
}

function runsWith(pid: number, configPath: string): boolean {
  try {
    const [program = '', ...rest] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return basename(program) === 'nats-server' && rest.includes(configPath);
  } catch {
    return false;
  }
}

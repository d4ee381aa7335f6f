import { linkSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GantryError } from '@gantry/protocol';
import { identifyProcess, isAlive, type ProcessIdentity } from './process-identity.js';
import { isErrno, readIfPresent } from './state-file.js';

/** "gantryd.pid" for the whole node, "gantryd-spawner.pid" for one service alone. */
export function pidFileName(service: string | undefined): string {
  return service === undefined ? 'gantryd.pid' : `gantryd-${service}.pid`;
}

export interface RunningGantryd {
  /** Undefined: the whole node in one process. */
  readonly service: string | undefined;
  readonly identity: ProcessIdentity;
}

/** Every live gantryd process of this node, by its pid file. Files of the dead are ignored. */
export function listRunning(runDirectory: string): RunningGantryd[] {
  let names: string[];
  try {
    names = readdirSync(runDirectory);
  } catch {
    return [];
  }
  const found: RunningGantryd[] = [];
  for (const name of names) {
    const match = /^gantryd(?:-([a-z-]+))?\.pid$/.exec(name);
    if (match === null) continue;
    const identity = readLiveIdentity(join(runDirectory, name));
    if (identity !== undefined) found.push({ service: match[1], identity });
  }
  return found;
}

/**
 * Takes the node (or one service of it) for this process. Throws `already_exists` naming the process that has it:
 * the whole node and a service alone exclude each other too.
 */
export function lockNode(runDirectory: string, service: string | undefined): () => void {
  mkdirSync(runDirectory, { recursive: true, mode: 0o711 });
  const rival = listRunning(runDirectory).find(
    (other) =>
      other.identity.pid !== process.pid &&
      (service === undefined || other.service === undefined || other.service === service),
  );
  if (rival !== undefined) throw alreadyRunning(rival, runDirectory);

  const self = identifyProcess(process.pid);
  if (self === undefined) throw new Error('/proc is not mounted');
  const path = join(runDirectory, pidFileName(service));
  const temporary = `${path}.${process.pid}.new`;
  writeFileSync(temporary, `${self.pid} ${self.startTime}\n`, { mode: 0o644 });
  try {
    // A dead owner's file is moved aside by exactly one of those who see it; link(2) then has exactly one winner.
    if (readIfPresent(path) !== undefined && readLiveIdentity(path) === undefined) {
      renameSync(path, `${path}.${process.pid}.stale`);
    }
    linkSync(temporary, path);
  } catch (error) {
    if (!isErrno(error, 'EEXIST') && !isErrno(error, 'ENOENT')) throw error;
    const winner = readLiveIdentity(path);
    throw winner === undefined ? error : alreadyRunning({ service, identity: winner }, runDirectory);
  } finally {
    rmSync(temporary, { force: true });
    rmSync(`${path}.${process.pid}.stale`, { force: true });
  }
  return () => rmSync(path, { force: true });
}

function readLiveIdentity(path: string): ProcessIdentity | undefined {
  const [pid, startTime] = (readIfPresent(path) ?? '').trim().split(' ');
  if (pid === undefined || startTime === undefined || !/^[1-9]\d*$/.test(pid)) return undefined;
  const identity = { pid: Number(pid), startTime };
  return isAlive(identity) ? identity : undefined;
}

function alreadyRunning({ service, identity }: RunningGantryd, runDirectory: string): GantryError {
  const what = service === undefined ? 'gantryd' : `gantryd --service ${service}`;
  return new GantryError({
    code: 'already_exists',
    operation: 'start',
    object: runDirectory,
    message: `${what} is already running on ${runDirectory} (process ${identity.pid})`,
  });
}

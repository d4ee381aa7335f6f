import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { DeviceSpec, RestartPolicy, UlimitSpec } from '../client/types.js';
import { UsageFailure } from '../failures.js';
import { parseInteger } from './quantities.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** `NAME=VALUE`, or `NAME` for what it is here; a name that is not set here is left out, as docker does. */
export function parseEnvironment(text: string, own: Environment): string[] {
  if (text === '' || text.startsWith('=')) throw new UsageFailure(`--env: "${text}" has no name`);
  if (text.includes('=')) return [text];
  const value = own[text];
  return value === undefined ? [] : [`${text}=${value}`];
}

/** Lines of `NAME=VALUE` or `NAME`; blank lines and those that begin with # are skipped, nothing is unquoted. */
export function readEnvironmentFile(path: string, own: Environment): string[] {
  return readTextFile(path, '--env-file')
    .split('\n')
    .map((line) => line.replace(/\r$/, '').trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap((line) => {
      const name = line.split('=', 1)[0] ?? '';
      if (name === '' || /\s/.test(name))
        throw new UsageFailure(`--env-file: ${path} has "${line}", which does not begin with a name`);
      return parseEnvironment(line, own);
    });
}

export function readTextFile(path: string, flag: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageFailure(`${flag}: ${path} cannot be read: ${describeErrno(error)}`);
  }
}

export function describeErrno(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a directory',
    ENOTDIR: 'a part of the path is not a directory',
  };
  return known[code ?? ''] ?? message;
}

/** `KEY=VALUE` or `KEY`. */
export function parseLabel(text: string, flag = '--label'): [string, string] {
  const at = text.indexOf('=');
  const key = at === -1 ? text : text.slice(0, at);
  if (key === '') throw new UsageFailure(`${flag}: "${text}" has no name`);
  return [key, at === -1 ? '' : text.slice(at + 1)];
}

/** `KEY=VALUE`, both there. */
export function parsePair(text: string, flag: string): [string, string] {
  const at = text.indexOf('=');
  if (at <= 0) throw new UsageFailure(`${flag}: "${text}" is not of the form NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** `NAME=SOFT[:HARD]`, -1 for no limit. */
export function parseUlimit(text: string): UlimitSpec {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (match === null) throw new UsageFailure(`--ulimit: "${text}" is not of the form NAME=SOFT[:HARD]`);
  const [, name = '', softText = '', hardText = softText] = match;
  const soft = parseInteger(softText, '--ulimit', { minimum: -1 });
  const hard = parseInteger(hardText, '--ulimit', { minimum: -1 });
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw new UsageFailure(`--ulimit: "${text}" has a soft limit above the hard one`);
  return { name, soft, hard };
}

/** `HOST[:CONTAINER][:rwm]`. */
export function parseDevice(text: string): DeviceSpec {
  const parts = text.split(':');
  const [hostPath = '', second, third] = parts;
  const secondIsRights = second !== undefined && parts.length === 2 && !second.startsWith('/');
  const containerPath = second === undefined || secondIsRights ? hostPath : second;
  const permissions = (secondIsRights ? second : third) ?? 'rwm';
  if (
    parts.length > 3 ||
    !hostPath.startsWith('/') ||
    !containerPath.startsWith('/') ||
    !/^[rwm]{1,3}$/.test(permissions)
  )
    throw new UsageFailure(`--device: "${text}" is not of the form /dev/HOST[:/dev/CONTAINER][:rwm]`);
  return { hostPath, containerPath, permissions };
}

/** `no`, `always`, `unless-stopped` or `on-failure[:MAXIMUM]`. */
export function parseRestart(text: string): RestartPolicy {
  const match = /^(?:(no|always|unless-stopped)|(on-failure)(?::(\d+))?)$/.exec(text);
  if (match === null)
    throw new UsageFailure(
      `--restart: "${text}" is none of no, always, unless-stopped, on-failure[:MAXIMUM]`,
    );
  return {
    name: match[1] ?? match[2] ?? 'no',
    maximumRetryCount:
      match[3] === undefined ? 0 : parseInteger(match[3], '--restart', { maximum: 0xffff_ffff }),
  };
}

/** `HOST:ADDRESS` or `HOST=ADDRESS`. */
export function parseAddHost(text: string): string {
  const match = /^([^:=\s]+)[:=](.+)$/.exec(text);
  const address = match?.[2]?.replace(/^\[(.*)\]$/, '$1') ?? '';
  if (match === null || (isIP(address) === 0 && address !== 'host-gateway'))
    throw new UsageFailure(`--add-host: "${text}" is not of the form HOST:ADDRESS`);
  return `${match[1] ?? ''}:${address}`;
}

/** `seccomp=FILE` becomes the profile itself: the file is on this side. */
export function readSecurityOption(text: string): string {
  const match = /^seccomp[=:](.*)$/.exec(text);
  const value = match?.[1];
  if (value === undefined) return text;
  if (value === 'unconfined') return 'seccomp=unconfined';
  const profile = readTextFile(value, '--security-opt seccomp');
  try {
    JSON.parse(profile);
  } catch {
    throw new UsageFailure(`--security-opt seccomp: ${value} is not JSON`);
  }
  return `seccomp=${profile}`;
}

/** Docker's `KEY=VALUE` for --filter. */
export function checkFilter(text: string): string {
  if (!/^[a-z-]+=/.test(text)) throw new UsageFailure(`--filter: "${text}" is not of the form KEY=VALUE`);
  return text;
}

/** "default" is docker's other name for the bridge. */
export const parseNetwork = (text: string): string => (text === 'default' ? 'bridge' : text);

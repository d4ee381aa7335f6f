import {
  normalizeCapability,
  type RuntimeCapabilities,
  type RuntimeProcess,
  type RuntimeUser,
} from '@gantry/oci';
import type { Given } from './command-line.js';
import { failure } from './failure.js';

function readId(text: string, what: string): number {
  return /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32
    ? Number(text)
    : failure(`${what} ${JSON.stringify(text)} is not a number from 0 to 4294967295`);
}

/** `UID[:GID]` and further groups; the umask stays that of the container's own process. */
function readUser(given: Given, own: RuntimeUser): RuntimeUser {
  const [uid, gid, ...rest] = given.text('user')?.split(':') ?? [];
  if (rest.length > 0) failure(`--user ${given.text('user')} is not UID[:GID]`);
  const groups = given.texts('additional-gids').flatMap((word) => word.split(','));
  return {
    ...own,
    ...(uid === undefined ? {} : { uid: readId(uid, 'user') }),
    ...(gid === undefined ? {} : { gid: readId(gid, 'group') }),
    ...(groups.length === 0 ? {} : { additionalGids: groups.map((word) => readId(word, 'group')) }),
  };
}

/** Further capabilities go into all sets but the inheritable and, unless that has some already, the ambient one. */
function addCapabilities(
  own: RuntimeCapabilities | undefined,
  words: readonly string[],
): RuntimeCapabilities {
  const names = words.flatMap((word) => word.split(',')).map(capabilityName);
  const join = (set: readonly string[] | undefined): readonly string[] => [
    ...new Set([...(set ?? []), ...names]),
  ];
  return {
    ...own,
    bounding: join(own?.bounding),
    effective: join(own?.effective),
    permitted: join(own?.permitted),
    ...((own?.ambient?.length ?? 0) > 0
      ? { inheritable: join(own?.inheritable), ambient: join(own?.ambient) }
      : {}),
  };
}

function capabilityName(word: string): string {
  const name = normalizeCapability(word);
  return name.ok && name.value !== 'ALL'
    ? name.value
    : failure(`${JSON.stringify(word)} is not a capability`);
}

/**
 * The process of an exec: the container's own, with another command and what the options change. Environment variables come
 * on top, the last of a name counts. Pure.
 */
export function execProcess(own: RuntimeProcess, given: Given, command: readonly string[]): RuntimeProcess {
  if (command.length === 0) failure('exec: process args cannot be empty');
  const { execCPUAffinity, consoleSize: _size, ...rest } = own;
  const capabilities = given.texts('cap');
  const apparmor = given.text('apparmor');
  const label = given.text('process-label');
  return {
    ...rest,
    ...(execCPUAffinity === undefined ? {} : { execCPUAffinity }),
    args: command,
    terminal: given.flag('tty'),
    cwd: given.text('cwd') ?? own.cwd,
    env: [...(own.env ?? []), ...given.texts('env')],
    user: readUser(given, own.user),
    ...(capabilities.length === 0 ? {} : { capabilities: addCapabilities(own.capabilities, capabilities) }),
    ...(given.flag('no-new-privs') ? { noNewPrivileges: true } : {}),
    ...(apparmor === undefined ? {} : { apparmorProfile: apparmor }),
    ...(label === undefined ? {} : { selinuxLabel: label }),
  };
}

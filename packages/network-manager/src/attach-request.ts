import { isIP } from 'node:net';
import { GantryError, type network } from '@gantry/protocol';
import type { Sysctl } from './kernel.js';
import { isContainerName } from './names.js';
import { parsePorts } from './port-table.js';
import type { AttachRequest } from './sandbox-manager.js';

const networks = {
  NETWORK_MODE_BRIDGE: 'bridge',
  NETWORK_MODE_NONE: 'none',
  NETWORK_MODE_HOST: 'host',
  NETWORK_MODE_CONTAINER: 'container',
} as const;

/** Most ports and names of one container: keeps a request, a record and a transaction of sane size. */
const maxPorts = 4096;
const maxNames = 64;
const maxScope = 253;

function refuse(object: string, message: string): never {
  throw new GantryError({ code: 'invalid_argument', operation: 'AttachSandbox', object, message });
}

/** Checks an id that becomes a part of paths. */
export function parseContainerId(id: string, operation: string): string {
  if (/^[0-9a-f]{64}$/.test(id)) return id;
  throw new GantryError({
    code: 'invalid_argument',
    operation,
    object: id,
    message: `"${id}" is not a container id of 64 hex digits`,
  });
}

/** Decodes a request at the edge. */
export function parseAttachRequest(request: network.AttachSandboxRequest): AttachRequest {
  const containerId = parseContainerId(request.containerId, 'AttachSandbox');
  if (request.networkMode === 'NETWORK_MODE_UNSPECIFIED') refuse(containerId, 'no network mode is given');
  const mode = networks[request.networkMode];
  const joins = mode === 'container';
  if (!joins && request.userMode === 'USER_NAMESPACE_MODE_UNSPECIFIED')
    refuse(containerId, 'no user namespace mode is given');
  if (joins && request.joinContainerId === containerId)
    refuse(containerId, 'a container cannot join its own network');
  if (request.ports.length > 0 && mode !== 'bridge')
    refuse(containerId, `ports cannot be published with network mode ${mode}`);
  if (request.ports.length > maxPorts)
    refuse(
      containerId,
      `${request.ports.length} ports are more than the ${maxPorts} one container may publish`,
    );
  const sysctls = parseSysctls(request.sysctls);
  if (sysctls.length > 0 && (joins || mode === 'host'))
    refuse(
      containerId,
      `net sysctls cannot be set with network mode ${mode}: the network is not the container's own`,
    );
  for (const server of request.dnsServers)
    if (isIP(server) === 0) refuse(server, `name server "${server}" is not an address`);
  return Object.freeze({
    containerId,
    network: mode,
    ownUserNamespace: request.userMode === 'USER_NAMESPACE_MODE_PRIVATE',
    joinContainerId: joins ? parseContainerId(request.joinContainerId, 'AttachSandbox') : '',
    names: parseNames(request.names, 'AttachSandbox'),
    scope: request.scope,
    aliases: parseAliases(request),
    ports: parsePorts(request.ports),
    sysctls,
    dnsServers: Object.freeze([...request.dnsServers]),
  });
}

function parseAliases({ containerId, scope, aliases }: network.AttachSandboxRequest): readonly string[] {
  if (scope.length > maxScope) refuse(containerId, `a scope of names is longer than ${maxScope} characters`);
  if (scope === '' && aliases.length > 0) refuse(containerId, 'aliases are given without a scope of names');
  return parseNames(aliases, 'AttachSandbox');
}

export function parseNames(names: readonly string[], operation: string): readonly string[] {
  if (names.length > maxNames)
    throw new GantryError({
      code: 'invalid_argument',
      operation,
      message: `${names.length} names are more than the ${maxNames} one container may have`,
    });
  for (const name of names)
    if (!isContainerName(name))
      throw new GantryError({
        code: 'invalid_argument',
        operation,
        object: name,
        message: `"${name}" cannot be a name in DNS`,
      });
  return Object.freeze([...names]);
}

function parseSysctls(sysctls: Readonly<Record<string, string>>): readonly Sysctl[] {
  return Object.entries(sysctls).map(([name, value]) => {
    // The name becomes a path below /proc/sys: each part a plain word.
    if (!/^net(\.[A-Za-z0-9_-]+)+$/.test(name)) refuse(name, `sysctl "${name}" is not a net.* setting`);
    if (value.length > 4096 || /[\0]/.test(value))
      refuse(name, `the value of sysctl "${name}" is not usable`);
    return Object.freeze({ path: name.replaceAll('.', '/'), value });
  });
}

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os';
import { refusal } from '../refuse.js';

/** Interface of the IPv4 default route with the lowest metric, from the text of /proc/net/route (proc_net(5)). */
export function defaultRouteInterface(routes: string): string | undefined {
  const found = routes
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, destination, , flags]) => destination === '00000000' && (Number(flags) & 1) === 1)
    .map(([name = '', , , , , , metric]) => ({ name, metric: Number(metric) }))
    .sort((a, b) => a.metric - b.metric);
  return found[0]?.name;
}

/** The address that others most likely reach this node under; undefined when nothing tells. */
export function addressOfDefaultRoute(
  routes: string,
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>,
): string | undefined {
  const name = defaultRouteInterface(routes);
  const addresses = name === undefined ? [] : (interfaces[name] ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}

/** An IP address that is somebody's, or a DNS name. */
export function checkAddress(address: string, operation: string): string {
  const isName =
    /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
  const fits =
    isIP(address) === 0
      ? isName.test(address) && !/^[0-9.]+$/.test(address)
      : !/^(0\.0\.0\.0|::)$/.test(address);
  if (!fits)
    throw refusal(
      'invalid_argument',
      operation,
      address,
      `${JSON.stringify(address)} is no address under which other nodes could reach this one`,
    );
  return address;
}

/** Address under which others reach this node: as given, else as configured, else that of the default route; undefined: unknown. */
export function ownAddress(given: string, configured: string, operation: string): string | undefined {
  const chosen = given === '' ? configured : given;
  if (chosen !== '') return checkAddress(chosen, operation);
  return addressOfDefaultRoute(readRoutes(), networkInterfaces());
}

export function noAddress(operation: string): Error {
  return refusal(
    'failed_precondition',
    operation,
    '',
    'this machine has no default route that would tell its address: give one with --address, or set cluster.address',
  );
}

function readRoutes(): string {
  try {
    return readFileSync('/proc/net/route', 'utf8');
  } catch {
    return '';
  }
}

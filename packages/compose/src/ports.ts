import { isIP } from 'node:net';
import type { Init, network } from '@gantry/protocol';
import type { Field } from './field.js';
import { parseInteger } from './values.js';

type Port = Init<network.PortBinding> & {
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
};

/** More would not fit into a message, and nobody means it. */
const maximumPorts = 1_000;

/** `ports` in both syntaxes. */
export function readPorts(field: Field): readonly Port[] {
  const ports: { readonly port: Port; readonly item: Field }[] = [];
  for (const item of field.items()) {
    const read = item.isMapping ? readLong(item) : readShort(item);
    ports.push(...read.map((port) => ({ port, item })));
    if (ports.length > maximumPorts)
      return field.refuseKey(`names more than ${maximumPorts.toLocaleString('en')} ports`) ?? [];
  }
  const taken = new Map<string, Field>();
  for (const { port, item } of ports) {
    if (port.hostPort === 0) continue;
    // An address and all addresses are in each other's way.
    const own = `${port.hostPort}/${port.protocol}`;
    const other =
      taken.get(`${own} ${port.hostIp}`) ??
      (isAny(port.hostIp) ? taken.get(own) : (taken.get(`${own} `) ?? taken.get(`${own} 0.0.0.0`)));
    if (other !== undefined)
      item.refuse(`publishes host port ${own} again (first in line ${other.tree.place.line})`);
    else {
      taken.set(`${own} ${port.hostIp}`, item);
      if (!taken.has(own)) taken.set(own, item);
    }
  }
  return ports.map(({ port }) => port);
}

const isAny = (address: string): boolean => address === '' || address === '0.0.0.0' || address === '::';

const ingressWarning = 'ports are published on the nodes that run the task, not on every node of the cluster';

function readShort(item: Field): readonly Port[] {
  const text = item.text('a text, a number or a map');
  if (text === undefined) return [];
  const refuse = (why: string): readonly Port[] => item.refuse(`is ${JSON.stringify(text)}, ${why}`) ?? [];
  const match = /^(?:(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?([\d-]*):)?([\d-]+)(?:\/([A-Za-z0-9]+))?$/.exec(text);
  if (match === null) return refuse('not of the form [[ADDRESS:]HOST:]CONTAINER[/tcp|udp]');
  const [, ipv6, ipv4, host = '', container = '', protocolText = 'tcp'] = match;
  const hostIp = ipv6 ?? ipv4 ?? '';
  if (hostIp !== '' && isIP(hostIp) === 0) return refuse(`which has no address before its first colon`);
  const protocol = protocolText.toLowerCase();
  if (protocol !== 'tcp' && protocol !== 'udp') return refuse('whose protocol is not done; tcp and udp are');
  const inside = readRange(container);
  const outside = host === '' ? undefined : readRange(host);
  if (inside === undefined || (host !== '' && outside === undefined))
    return refuse('whose ports are not all from 1 to 65535');
  const count = inside.last - inside.first + 1;
  if (outside !== undefined && outside.last - outside.first + 1 !== count)
    return refuse(
      count === 1
        ? 'a range of host ports for one container port, which is not done: name one host port'
        : 'whose ranges have different lengths',
    );
  item.warnOnce(ingressWarning);
  return Array.from({ length: count }, (_, index) => ({
    hostIp,
    hostPort: outside === undefined ? 0 : outside.first + index,
    containerPort: inside.first + index,
    protocol,
  }));
}

function readRange(text: string): { readonly first: number; readonly last: number } | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  return match === null || first < 1 || last > 65_535 || last < first ? undefined : { first, last };
}

function readLong(item: Field): readonly Port[] {
  const target = item.get('target');
  if (target === undefined) return item.refuse('has no target: the port inside the container') ?? [];
  const containerPort = target.integer({ minimum: 1, maximum: 65_535 });
  const hostPort = item.get('published')?.parse((text) => {
    if (/^\d+-\d+$/.test(text))
      return {
        ok: false,
        why: `is ${JSON.stringify(text)}, a range of host ports, which is not done: name one`,
      };
    return parseInteger(text, { minimum: 0, maximum: 65_535 });
  }, 'a port');
  const hostIp = item.get('host_ip');
  const address = hostIp?.string() ?? '';
  if (hostIp !== undefined && address !== '' && isIP(address) === 0)
    hostIp.refuse(`is ${JSON.stringify(address)}, not an IP address`);
  const protocol = item.get('protocol')?.oneOf(['tcp', 'udp']) ?? 'tcp';
  if ((item.get('mode')?.oneOf(['host', 'ingress']) ?? 'ingress') === 'ingress')
    item.warnOnce(ingressWarning);
  return containerPort === undefined
    ? []
    : [{ hostIp: address, hostPort: hostPort ?? 0, containerPort, protocol }];
}

/** `expose` does nothing, but a wrong one is an error all the same. */
export function checkExpose(field: Field): void {
  for (const item of field.items()) {
    const text = item.text();
    const range = text === undefined ? undefined : /^([\d-]+)(?:\/(?:tcp|udp))?$/.exec(text)?.[1];
    if (text !== undefined && (range === undefined || readRange(range) === undefined))
      item.refuse(`is ${JSON.stringify(text)}, not a port or a range of ports`);
  }
}

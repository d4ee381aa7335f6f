import { isIP } from 'node:net';
import type { PortBinding } from '../client/types.js';
import { UsageFailure } from '../failures.js';

interface Range {
  readonly first: number;
  readonly last: number;
}

/**
 * `[[ADDRESS:][HOST]:]CONTAINER[/PROTOCOL]`, ranges allowed ("8000-8002:80-82"), IPv6 addresses in brackets. No host
 * port means a free one.
 */
export function parsePublish(text: string): PortBinding[] {
  const refuse = (why: string): UsageFailure => new UsageFailure(`--publish: "${text}" ${why}`);
  const match = /^(?:(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?([\d-]*):)?([\d-]+)(?:\/([A-Za-z]+))?$/.exec(text);
  if (match === null) throw refuse('is not of the form [[ADDRESS:]HOST:]CONTAINER[/tcp|udp]');
  const [, ipv6, ipv4, host = '', container = '', protocolText = 'tcp'] = match;
  const hostIp = ipv6 ?? ipv4 ?? '';
  if (hostIp !== '' && isIP(hostIp) === 0) throw refuse(`has "${hostIp}" where an address belongs`);
  const protocol = protocolText.toLowerCase();
  if (protocol !== 'tcp' && protocol !== 'udp')
    throw refuse(`names protocol "${protocolText}"; tcp and udp are done`);
  const inside = parseRange(container, refuse);
  const outside = host === '' ? undefined : parseRange(host, refuse);
  const count = inside.last - inside.first + 1;
  if (outside !== undefined && outside.last - outside.first + 1 !== count)
    throw refuse('has ranges of different lengths');
  return Array.from({ length: count }, (_, index) => ({
    hostIp,
    hostPort: outside === undefined ? 0 : outside.first + index,
    containerPort: inside.first + index,
    protocol,
  }));
}

function parseRange(text: string, refuse: (why: string) => UsageFailure): Range {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first < 1 || last > 65_535 || last < first)
    throw refuse(`has "${text}" where a port from 1 to 65535 belongs`);
  return { first, last };
}

/** As docker's tables show it: "0.0.0.0:8080->80/tcp". */
export const showPort = ({ hostIp, hostPort, containerPort, protocol }: PortBinding): string => {
  const inside = `${containerPort}/${protocol === '' ? 'tcp' : protocol}`;
  if (hostPort === 0) return inside;
  const address = hostIp === '' ? '0.0.0.0' : hostIp.includes(':') ? `[${hostIp}]` : hostIp;
  return `${address}:${hostPort}->${inside}`;
};

import { readFileSync } from 'node:fs';
import { formatAddress, formatSubnet } from './ipv4.js';
import type { NodeNetwork } from './node-network.js';
import { formatPort } from './port-table.js';
import type { SandboxRecord } from './records.js';
import { tableOf } from './ruleset.js';
import { forwardsOf } from './sandbox-manager.js';

/** The way of packets in and out of a sandbox, one step a line, from what the kernel says now. */
export async function describeSandbox(network: NodeNetwork, record: SandboxRecord): Promise<string[]> {
  const { settings, kernel, factory, firewall } = network;
  if (record.network === 'host')
    return ["network: the host's own; packets take the host's way, nothing is translated"];
  const inside = await kernel.listLinksInside(`${factory.directoryOf(record.id)}/net`);
  const insideText = inside.map((link) => `${link.name} ${link.up ? 'up' : 'down'}`).join(', ');
  if (record.network === 'none') return [`network: none; inside: ${insideText}; no packet gets in or out`];

  const address = formatAddress(record.address);
  const gateway = formatAddress(settings.subnet.gateway);
  const links = await kernel.listLinks();
  const veth = links.find((link) => link.name === record.hostInterface);
  const bridge = links.find((link) => link.name === settings.bridge);
  const onBridge = veth !== undefined && bridge !== undefined && veth.master === bridge.index;
  const vethText =
    veth === undefined
      ? `${record.hostInterface} (gone)`
      : `${veth.name}${onBridge ? '' : ' (not on the bridge)'}`;
  const bridgeText =
    bridge === undefined
      ? `bridge ${settings.bridge} (gone)`
      : `bridge ${bridge.name} ${gateway}/${settings.subnet.prefixLength}`;
  const uplink = defaultInterface();
  const table = `table inet ${tableOf(settings.bridge)}`;
  const lines = [
    `inside: ${insideText}`,
    `out: eth0 ${address} -> ${vethText} -> ${bridgeText} -> forward -> postrouting masquerade (${table}) -> ${uplink ?? 'no default route'}`,
    `peers: eth0 ${address} -> ${vethText} -> ${bridgeText} -> other containers of ${formatSubnet(settings.subnet)}, untranslated`,
  ];
  for (const forward of forwardsOf(record)) {
    const state = (await firewall.has(forward)) ? '' : ' (missing in the kernel)';
    const map = forward.port.hostAddress === 0 ? 'published_any' : 'published_at';
    lines.push(
      `in: ${formatPort(forward.port)} -> map ${map} (${table}) -> ${address}:${forward.port.containerPort}${state} -> ${bridgeText} -> ${vethText} -> eth0`,
    );
  }
  if (record.ports.length === 0)
    lines.push('in: nothing is published; only the host and other containers of the bridge get in');
  const guarded =
    settings.guardedPorts.length === 0 ? '' : ` except ports ${settings.guardedPorts.join(', ')}`;
  lines.push(`host: ${gateway} answers${guarded}; 127.0.0.0/8 of the host does not`);
  const names = record.holders.flatMap((holder) => holder.names);
  const server = network.dnsServers.length === 0 ? 'nobody (no name server runs)' : `${gateway}:53`;
  lines.push(`names: ${names.length === 0 ? 'none' : names.join(', ')}, answered by ${server}`);
  for (const { scope = '', aliases = [] } of record.holders)
    if (aliases.length > 0) lines.push(`names within ${scope}: ${aliases.join(', ')}`);
  return lines;
}

/** Interface of the IPv4 default route. */
function defaultInterface(): string | undefined {
  for (const line of readFileSync('/proc/net/route', 'utf8').split('\n').slice(1)) {
    const [name, destination, , flags] = line.split('\t');
    // RTF_UP | RTF_GATEWAY with destination 0.0.0.0.
    if (destination === '00000000' && (parseInt(flags ?? '0', 16) & 1) === 1) return name;
  }
  return undefined;
}

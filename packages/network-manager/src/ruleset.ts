import { formatAddress, formatSubnet, type Address, type Subnet } from './ipv4.js';
import type { PublishedPort } from './port-table.js';

/** A published port and the container's address it leads to. */
export interface Forward {
  readonly port: PublishedPort;
  readonly target: Address;
}

export interface RulesetPlan {
  readonly bridge: string;
  readonly subnet: Subnet;
  readonly guardedPorts: readonly number[];
  /** Interfaces on which we alone switched forwarding on. */
  readonly openedInterfaces: readonly string[];
  readonly forwards: readonly Forward[];
}

/** Name of our table; nothing outside it is ever touched. */
export function tableOf(bridge: string): string {
  return `gantry_${bridge}`;
}

/**
 * The whole table as one transaction that replaces whatever stood there. Connections that are already translated go on:
 * they live in connection tracking, not in these rules.
 */
export function renderRuleset(plan: RulesetPlan): string {
  const { bridge, subnet } = plan;
  const table = tableOf(bridge);
  const subnetText = formatSubnet(subnet);
  const gateway = formatAddress(subnet.gateway);
  const guarded =
    plan.guardedPorts.length === 0
      ? ''
      : `    meta l4proto { tcp, udp } th dport { ${[...plan.guardedPorts].sort((a, b) => a - b).join(', ')} } drop\n`;
  const opened =
    plan.openedInterfaces.length === 0
      ? ''
      : `    iifname { ${plan.openedInterfaces.map((name) => `"${name}"`).join(', ')} } oifname != "${bridge}" jump not_ours\n`;
  return `table inet ${table}
delete table inet ${table}
table inet ${table} {
  map published_any {
    type inet_proto . inet_service : ipv4_addr . inet_service
${renderElements(plan.forwards, false)}  }
  map published_at {
    type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
${renderElements(plan.forwards, true)}  }
  chain foreign {
    type filter hook prerouting priority -300; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
    iifname "${bridge}" ip saddr != { ${subnetText}, 0.0.0.0 } drop
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    iifname "${bridge}" ip daddr ${gateway} meta l4proto { tcp, udp } th dport 53 return
    fib daddr type local jump publish
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }
  chain publish {
    dnat ip to meta l4proto . ip daddr . th dport map @published_at
    dnat ip to meta l4proto . th dport map @published_any
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    oifname "${bridge}" ip saddr 127.0.0.0/8 masquerade
    oifname "${bridge}" ip saddr ${subnetText} ct status dnat masquerade
    oifname != "${bridge}" ip saddr ${subnetText} masquerade
  }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname "${bridge}" jump from_containers
  }
  chain from_containers {
    ct state established,related accept
${guarded}  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname != "${bridge}" oifname "${bridge}" jump to_containers
${opened}  }
  chain to_containers {
    ct state established,related accept
    ct status dnat accept
    drop
  }
  chain not_ours {
    ct state established,related accept
    ct status dnat accept
    drop
  }
}
`;
}

function renderElements(forwards: readonly Forward[], atAddress: boolean): string {
  const chosen = forwards.filter((forward) => (forward.port.hostAddress !== 0) === atAddress);
  return chosen.length === 0 ? '' : `    elements = { ${chosen.map(renderElement).join(', ')} }\n`;
}

function renderKey({ port }: Forward): string {
  const address = port.hostAddress === 0 ? '' : `${formatAddress(port.hostAddress)} . `;
  return `${port.protocol} . ${address}${port.hostPort}`;
}

/** "tcp . 8080 : 10.88.0.5 . 80" */
export function renderElement(forward: Forward): string {
  return `${renderKey(forward)} : ${formatAddress(forward.target)} . ${forward.port.containerPort}`;
}

/** Adds the elements in one transaction. */
export function renderPublish(bridge: string, forwards: readonly Forward[]): string {
  return perMap(
    forwards,
    (map, chosen) =>
      `add element inet ${tableOf(bridge)} ${map} { ${chosen.map(renderElement).join(', ')} }\n`,
  );
}

/** Removes the elements in one transaction; one that is missing fails the whole. */
export function renderUnpublish(bridge: string, forwards: readonly Forward[]): string {
  return perMap(
    forwards,
    (map, chosen) =>
      `delete element inet ${tableOf(bridge)} ${map} { ${chosen.map(renderKey).join(', ')} }\n`,
  );
}

function perMap(
  forwards: readonly Forward[],
  render: (map: string, chosen: readonly Forward[]) => string,
): string {
  const any = forwards.filter((forward) => forward.port.hostAddress === 0);
  const at = forwards.filter((forward) => forward.port.hostAddress !== 0);
  return (
    (any.length === 0 ? '' : render('published_any', any)) +
    (at.length === 0 ? '' : render('published_at', at))
  );
}

export function renderRemoval(bridge: string): string {
  return `table inet ${tableOf(bridge)}\ndelete table inet ${tableOf(bridge)}\n`;
}

/** What a listing of the table says, in a form that two listings can be compared by. */
export interface ListedTable {
  /** Everything but the elements of the maps. */
  readonly skeleton: string;
  /** Elements as renderElement writes them, sorted. */
  readonly elements: readonly string[];
}

/** Reads the output of `list table`. */
export function readListing(text: string): ListedTable {
  const elements: string[] = [];
  const skeleton = text.replaceAll(/\n\s*elements = \{([^}]*)\}/g, (_whole, body: string) => {
    for (const element of body.split(',')) {
      const words = element.trim().replaceAll(/\s+/g, ' ');
      if (words !== '') elements.push(words.replace(/^6 /, 'tcp ').replace(/^17 /, 'udp '));
    }
    return '';
  });
  return { skeleton, elements: elements.sort() };
}

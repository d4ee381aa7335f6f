import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { DnsOutcome } from './dns-server.js';
import type { SandboxSource } from './sandbox-manager.js';

/** Figures read when they are asked for. */
export interface NetworkGauges {
  readonly sandboxes: () => number;
  readonly poolReady: () => number;
  readonly poolTarget: () => number;
  readonly doomed: () => number;
  readonly publishedPorts: () => number;
  readonly addresses: () => number;
  readonly addressesTaken: () => number;
  readonly idRanges: () => number;
  readonly idRangesTaken: () => number;
}

export interface NetworkMetrics {
  attached(source: SandboxSource, seconds: number): void;
  drifted(count: number): void;
  dnsAnswered(outcome: DnsOutcome): void;
  /** Exposes gauges over a network that has started. */
  expose(gauges: NetworkGauges): void;
}

export function createNetworkMetrics(registry: Registry): NetworkMetrics {
  const registers = [registry];
  const attach = new Histogram({
    name: 'gantry_network_attach_seconds',
    help: 'Time to give a container its sandbox, by where the sandbox came from.',
    labelNames: ['source'],
    buckets: [0.00025, 0.0005, 0.001, 0.0015, 0.003, 0.006, 0.012, 0.025, 0.05, 0.1, 0.5],
    registers,
  });
  const drift = new Counter({
    name: 'gantry_network_drift_total',
    help: 'Differences between the kernel and the desired state that were found and repaired.',
    registers,
  });
  const dns = new Counter({
    name: 'gantry_network_dns_queries_total',
    help: 'Queries to the name server of the bridge, by what became of them.',
    labelNames: ['outcome'],
    registers,
  });
  return {
    attached: (source, seconds) => attach.observe({ source }, seconds),
    drifted: (count) => drift.inc(count),
    dnsAnswered: (outcome) => dns.inc({ outcome }),
    expose: (gauges) => {
      const gauge = (name: string, help: string, read: () => number): void => {
        new Gauge({
          name,
          help,
          registers,
          collect() {
            this.set(read());
          },
        });
      };
      gauge('gantry_network_sandboxes', 'Sandboxes that containers hold.', gauges.sandboxes);
      gauge('gantry_network_pool_ready', 'Sandboxes ready to be taken.', gauges.poolReady);
      gauge('gantry_network_pool_target', 'Ready sandboxes to keep.', gauges.poolTarget);
      gauge('gantry_network_sandboxes_dying', 'Sandboxes being taken apart.', gauges.doomed);
      gauge(
        'gantry_network_published_ports',
        'Ports of the host that lead to containers.',
        gauges.publishedPorts,
      );
      gauge(
        'gantry_network_addresses',
        "Addresses of the node's subnet, its own, the gateway's and the broadcast address among them.",
        gauges.addresses,
      );
      gauge('gantry_network_addresses_taken', 'Addresses that are given out.', gauges.addressesTaken);
      gauge('gantry_network_id_ranges', 'Ranges of user ids that sandboxes can have.', gauges.idRanges);
      gauge('gantry_network_id_ranges_taken', 'Ranges of user ids that are given out.', gauges.idRangesTaken);
    },
  };
}

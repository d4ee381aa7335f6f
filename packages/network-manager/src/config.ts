import { GantryError } from '@gantry/protocol';
import { parseAddress, parseSubnet, type Subnet } from './ipv4.js';

/** What the network manager is configured with. */
export interface NetworkManagerConfig {
  /** Durable state of the node. Nothing of ours is in it: sandboxes, addresses and ports do not outlive a boot. */
  readonly state_dir: string;
  /** On tmpfs: `<run_dir>/network` holds the records, `<run_dir>/sandboxes/<id>/{user,net}` the pinned namespaces. */
  readonly run_dir: string;
  /** Name of the node's bridge, and what the nftables table is named after. */
  readonly bridge: string;
  /** IPv4 subnet of the bridge; its first address is the gateway. */
  readonly subnet: string;
  /** Ready sandboxes to keep. */
  readonly pool_size: number;
  /** First uid and gid of the ranges handed to containers. */
  readonly id_base: number;
  /** How many ranges of 65536 ids there are from there. */
  readonly id_ranges: number;
  /** Ports given when a container publishes one without saying which. */
  readonly host_port_range: string;
  /** Ports of the host that containers must not reach: Gantry's own. */
  readonly guarded_ports: readonly number[];
}

/** The part of the node's configuration that belongs to this service. */
export const networkManagerConfigSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    state_dir: { type: 'string', description: 'Directory of the durable state.', default: '/var/lib/gantry' },
    run_dir: { type: 'string', description: 'Directory of the state of this boot.', default: '/run/gantry' },
    bridge: {
      type: 'string',
      description:
        'Name of the bridge that containers are attached to. Two nodes on one machine need two names.',
      pattern: '^[a-z][a-z0-9_-]{0,14}$',
      default: 'gantry0',
    },
    subnet: {
      type: 'string',
      description: 'IPv4 subnet of the bridge; the first address is the gateway.',
      pattern: '^[0-9.]+/([89]|1[0-9]|2[0-9]|30)$',
      default: '10.88.0.0/16',
    },
    pool_size: {
      type: 'integer',
      description: 'Ready sandboxes to keep: a start takes one. 0 makes each when it is asked for.',
      minimum: 0,
      maximum: 1024,
      default: 16,
    },
    id_base: {
      type: 'integer',
      description: 'First uid and gid of the ranges of user namespaces; a multiple of 65536.',
      minimum: 65536,
      maximum: 4294901760,
      multipleOf: 65536,
      default: 0x20000000,
    },
    id_ranges: {
      type: 'integer',
      description: 'Ranges of 65536 ids from id_base on: as many containers can have one at the same time.',
      minimum: 1,
      maximum: 65535,
      default: 4096,
    },
    host_port_range: {
      type: 'string',
      description: 'Ports given to containers that publish one without naming it, as FIRST-LAST.',
      pattern: '^[0-9]{1,5}-[0-9]{1,5}$',
      default: '32768-60999',
    },
    guarded_ports: {
      type: 'array',
      items: { type: 'integer', minimum: 1, maximum: 65535 },
      description: 'TCP and UDP ports of the host that no container may reach.',
      default: [],
    },
  },
} as const;

/** The configuration as the rest of the package uses it. */
export interface NetworkSettings {
  readonly runDirectory: string;
  readonly bridge: string;
  readonly subnet: Subnet;
  readonly poolSize: number;
  readonly idBase: number;
  readonly idRanges: number;
  readonly hostPorts: { readonly first: number; readonly last: number };
  readonly guardedPorts: readonly number[];
}

/** Ids of one user namespace: what images and distributions expect, and what one line of uid_map maps. */
export const idsPerRange = 65536;

/** Checks what a JSON schema cannot say. */
export function parseSettings(config: NetworkManagerConfig): NetworkSettings {
  const refuse = (key: string, why: string): never => {
    throw new GantryError({
      code: 'invalid_argument',
      operation: 'start',
      object: key,
      message: `network_manager.${key}: ${why}`,
    });
  };
  if (!/^\/[\w./@:+-]+$/.test(config.run_dir) || config.run_dir.split('/').includes('..'))
    refuse('run_dir', `"${config.run_dir}" is not a plain absolute path`);
  if (!/^[a-z][a-z0-9_-]{0,14}$/.test(config.bridge))
    refuse('bridge', `"${config.bridge}" is not an interface name`);
  const subnet = parseSubnet(config.subnet);
  if (subnet === undefined || subnet.prefixLength > 30)
    return refuse('subnet', `"${config.subnet}" is not an IPv4 subnet such as 10.88.0.0/16`);
  const firstText = config.subnet.split('/')[0] ?? '';
  if (parseAddress(firstText) !== subnet.network) refuse('subnet', `"${config.subnet}" has host bits set`);
  const [first = 0, last = 0] = config.host_port_range.split('-').map(Number);
  if (!(first >= 1 && first <= last && last <= 65535))
    refuse('host_port_range', `"${config.host_port_range}" is not a range of ports such as 32768-60999`);
  if (config.id_base % idsPerRange !== 0)
    refuse('id_base', `${config.id_base} is not a multiple of ${idsPerRange}`);
  if (config.id_base + config.id_ranges * idsPerRange > 0xffffffff)
    refuse('id_ranges', `${config.id_ranges} ranges from ${config.id_base} on pass the largest uid`);
  return Object.freeze({
    runDirectory: config.run_dir,
    bridge: config.bridge,
    subnet,
    poolSize: config.pool_size,
    idBase: config.id_base,
    idRanges: config.id_ranges,
    hostPorts: Object.freeze({ first, last }),
    guardedPorts: Object.freeze([...config.guarded_ports]),
  });
}

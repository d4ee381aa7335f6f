import { apiConfigSchema, type ApiConfig } from '@gantry/api/config';
import { controlConfigSchema, type ControlConfig } from '@gantry/control/config';
import { cgroupSupervisorConfigSchema, type CgroupSupervisorConfig } from '@gantry/cgroup-supervisor/config';
import { imageStoreConfigSchema, type ImageStoreConfig } from '@gantry/image-store/config';
import { networkManagerConfigSchema, type NetworkManagerConfig } from '@gantry/network-manager/config';
import { nodeAgentConfigSchema, type NodeAgentConfig } from '@gantry/node-agent/config';
import { spawnerConfigSchema, type SpawnerConfig } from '@gantry/spawner/config';

/** Given once at the top, handed to every service. */
type SharedPath = 'state_dir' | 'run_dir';

/** The whole configuration of a node: frozen, checked, every key present. */
export interface NodeConfig {
  readonly state_dir: string;
  readonly run_dir: string;
  readonly log_level: string;
  readonly log_file: string;
  readonly nats: { readonly port: number };
  readonly metrics: { readonly host: string; readonly base_port: number };
  readonly image_store: Omit<ImageStoreConfig, SharedPath>;
  readonly network_manager: Omit<NetworkManagerConfig, SharedPath>;
  readonly cgroup_supervisor: Omit<CgroupSupervisorConfig, SharedPath>;
  readonly spawner: Omit<SpawnerConfig, SharedPath>;
  readonly cluster: Omit<NodeAgentConfig['cluster'], 'api_port'>;
  readonly node_agent: Omit<NodeAgentConfig, SharedPath | 'cluster'>;
  readonly control: Omit<ControlConfig, SharedPath>;
  readonly api: Omit<ApiConfig, SharedPath>;
}

/** The part of JSON Schema that configuration is described in. */
export interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  /** Standard annotation for what is never shown: a secret. */
  readonly writeOnly?: boolean;
  readonly [keyword: string]: unknown;
}

const absolutePath = { type: 'string', pattern: '^/.*[^/]$' } as const;

/** Schema of gantry.yaml; a section a service, in that service's own words. */
export const nodeConfigSchema: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    state_dir: {
      ...absolutePath,
      default: '/var/lib/gantry',
      description: 'Images, containers, volumes, keys: what outlives a reboot.',
    },
    run_dir: {
      ...absolutePath,
      default: '/run/gantry',
      description: 'Sockets, pid files, sandboxes: what a reboot may empty.',
    },
    log_level: {
      type: 'string',
      enum: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      default: 'info',
      description: 'Least level that is logged.',
    },
    log_file: {
      type: 'string',
      default: '',
      description: 'File that the log is appended to; empty means standard error.',
    },
    nats: section({
      port: {
        type: 'integer',
        minimum: 1,
        maximum: 65535,
        default: 4322,
        description: "Port of the node's own nats-server on 127.0.0.1.",
      },
    }),
    metrics: section({
      host: {
        type: 'string',
        default: '127.0.0.1',
        description: 'Address that /metrics and /healthz are served on.',
      },
      base_port: {
        type: 'integer',
        minimum: 0,
        maximum: 65520,
        default: 9464,
        description:
          'image-store takes this port, and the next ones are of network-manager, cgroup-supervisor, spawner, node-agent, api, control. 0: free ones.',
      },
    }),
    image_store: ofService(imageStoreConfigSchema),
    network_manager: ofService(networkManagerConfigSchema),
    cgroup_supervisor: ofService(cgroupSupervisorConfigSchema),
    spawner: ofService(spawnerConfigSchema),
    cluster: section({
      address: {
        type: 'string',
        default: '',
        description:
          "Address under which the cluster's other nodes reach this one; empty: that of the default route's interface.",
      },
      leaf_port: {
        type: 'integer',
        minimum: 1,
        maximum: 65535,
        default: 4323,
        description: 'Port on which a control node takes connections of workers.',
      },
      route_port: {
        type: 'integer',
        minimum: 1,
        maximum: 65535,
        default: 4324,
        description: 'Port on which a control node takes connections of other control nodes.',
      },
    }),
    node_agent: ofService(nodeAgentConfigSchema),
    control: ofService(controlConfigSchema),
    api: ofService(apiConfigSchema),
  },
  // Ajv fills in defaults below an object only where the object is there.
  default: {},
};

function section(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', additionalProperties: false, default: {}, properties };
}

/** A service's own schema, less the paths that it shares with the others. */
function ofService(schema: unknown): Schema {
  const { properties = {} } = schema as Schema;
  return section(
    Object.fromEntries(
      Object.entries(properties).filter(([key]) => key !== 'state_dir' && key !== 'run_dir'),
    ),
  );
}

/** One settable value: its path in the file and what it is. */
export interface Setting {
  readonly path: readonly string[];
  readonly schema: Schema;
}

/** Every value of the schema, sections opened. */
export function listSettings(schema: Schema, path: readonly string[] = []): Setting[] {
  if (schema.type !== 'object' || schema.properties === undefined || path.length > 1)
    return [{ path, schema }];
  return Object.entries(schema.properties).flatMap(([key, value]) => listSettings(value, [...path, key]));
}

/** "network_manager.bridge" → "--network-manager.bridge" */
export const flagOf = ({ path }: Setting): string => `--${path.join('.').replaceAll('_', '-')}`;
/** "network_manager.bridge" → "GANTRY_NETWORK_MANAGER_BRIDGE" */
export const variableOf = ({ path }: Setting): string => `GANTRY_${path.join('_').toUpperCase()}`;

import type { RunningService, ServiceEnvironment } from '@gantry/bus';
import type { NodeConfig } from './config-schema.js';

type Start = (environment: ServiceEnvironment, config: NodeConfig) => Promise<RunningService>;

/** What a service is given of the configuration: its own section and the shared paths. */
function slice<Section extends object>(
  { state_dir, run_dir }: NodeConfig,
  section: Section,
): Section & Pick<NodeConfig, 'state_dir' | 'run_dir'> {
  return Object.freeze({ ...section, state_dir, run_dir });
}

/**
 * Every service of a node. The order fixes the metrics ports: see `metrics.base_port`. Imported when started: a service
 * alone in its process does not carry the others' code.
 */
export const services = {
  'image-store': async (environment, config) =>
    (await import('@gantry/image-store')).startImageStore(environment, slice(config, config.image_store)),
  'network-manager': async (environment, config) =>
    (await import('@gantry/network-manager')).startNetworkManager(
      environment,
      slice(config, config.network_manager),
    ),
  'cgroup-supervisor': async (environment, config) =>
    (await import('@gantry/cgroup-supervisor')).startCgroupSupervisor(
      environment,
      slice(config, config.cgroup_supervisor),
    ),
  spawner: async (environment, config) =>
    (await import('@gantry/spawner')).startSpawner(environment, slice(config, config.spawner)),
  'node-agent': async (environment, config) =>
    (await import('@gantry/node-agent')).startNodeAgent(
      environment,
      Object.freeze({
        ...slice(config, config.node_agent),
        cluster: Object.freeze({ ...config.cluster, api_port: config.api.tls_port }),
      }),
    ),
  api: async (environment, config) =>
    (await import('@gantry/api')).startApi(environment, slice(config, config.api)),
  control: async (environment, config) =>
    (await import('@gantry/control')).startControl(environment, slice(config, config.control)),
} as const satisfies Record<string, Start>;

export type ServiceName = keyof typeof services;
export const serviceNames = Object.keys(services) as readonly ServiceName[];

/** Services of one row need none of each other; a row needs the rows before it. Control comes and goes with the node's
 * role: see `control-keeper.ts`. */
export const startOrder: readonly (readonly ServiceName[])[] = [
  ['image-store', 'network-manager', 'cgroup-supervisor', 'spawner'],
  ['node-agent'],
  ['api'],
];

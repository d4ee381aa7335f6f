import { startApi } from '@gantry/api';
import type { RunningService, ServiceEnvironment } from '@gantry/bus';
import { startCgroupSupervisor } from '@gantry/cgroup-supervisor';
import { startImageStore } from '@gantry/image-store';
import { startNetworkManager } from '@gantry/network-manager';
import { startNodeAgent } from '@gantry/node-agent';
import { startSpawner } from '@gantry/spawner';
import type { NodeConfig } from './config-schema.js';

type Start = (environment: ServiceEnvironment, config: NodeConfig) => Promise<RunningService>;

/** What a service is given of the configuration: its own section and the shared paths. */
function slice<Section extends object>(
  { state_dir, run_dir }: NodeConfig,
  section: Section,
): Section & Pick<NodeConfig, 'state_dir' | 'run_dir'> {
  return Object.freeze({ ...section, state_dir, run_dir });
}

/** Every service of a node. The order fixes the metrics ports: see `metrics.base_port`. */
export const services = {
  'image-store': (environment, config) => startImageStore(environment, slice(config, config.image_store)),
  'network-manager': (environment, config) =>
    startNetworkManager(environment, slice(config, config.network_manager)),
  'cgroup-supervisor': (environment, config) =>
    startCgroupSupervisor(environment, slice(config, config.cgroup_supervisor)),
  spawner: (environment, config) => startSpawner(environment, slice(config, config.spawner)),
  'node-agent': (environment, config) => startNodeAgent(environment, slice(config, config.node_agent)),
  api: (environment, config) => startApi(environment, slice(config, config.api)),
} as const satisfies Record<string, Start>;

export type ServiceName = keyof typeof services;
export const serviceNames = Object.keys(services) as readonly ServiceName[];

/** Services of one row need none of each other; a row needs the rows before it. */
export const startOrder: readonly (readonly ServiceName[])[] = [
  ['image-store', 'network-manager', 'cgroup-supervisor', 'spawner'],
  ['node-agent'],
  ['api'],
];

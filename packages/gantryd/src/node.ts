import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { busUsers, type RunningService } from '@gantry/bus';
import type { Logger } from 'pino';
import type { LoneService } from './command-line.js';
import type { NodeConfig } from './config-schema.js';
import { loadBusKey } from './identity.js';
import { renderServerConfig, serverPaths } from './nats/server-config.js';
import { NatsSupervisor } from './nats/supervisor.js';
import { serviceNames, services, startOrder, type ServiceName } from './services.js';
import { replaceFile } from './state-file.js';
import { version } from './version.js';

export interface NodeOptions {
  readonly config: NodeConfig;
  readonly nodeId: string;
  /** Undefined: everything in this process. */
  readonly service: LoneService | undefined;
  readonly logger: Logger;
}

/** What runs in this process: the whole node, or one service of it. */
export interface RunningNode {
  readonly options: NodeOptions;
  /** Undefined when this process does not supervise the bus' server. */
  readonly nats: NatsSupervisor | undefined;
  /** In the order of their start. */
  readonly services: readonly RunningService[];
}

/** Name of the file that says what runs here, written when all of it answers. */
export const readyFileName = (service: LoneService | undefined): string =>
  service === undefined ? 'gantryd.json' : `gantryd-${service}.json`;

/** Brings up the bus and the services, side by side where they do not need each other. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { service } = options;
  const running: RunningService[] = [];
  let nats: NatsSupervisor | undefined;
  try {
    if (service === undefined || service === 'nats') nats = await startBus(options);
    for (const row of startOrder) {
      const asked = row.filter((name) => service === undefined || service === name);
      const results = await Promise.allSettled(asked.map((name) => startOne(options, name)));
      for (const result of results) if (result.status === 'fulfilled') running.push(result.value);
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    }
    const node: RunningNode = { options, nats, services: running };
    writeReadyFile(node);
    return node;
  } catch (error) {
    await stopServices(running);
    await nats?.stop();
    throw error;
  }
}

/** Stops what runs in this process and leaves every container as it is. */
export async function stopNode(node: RunningNode): Promise<void> {
  const { config, service } = node.options;
  rmSync(join(config.run_dir, readyFileName(service)), { force: true });
  await stopServices(node.services);
  await node.nats?.stop();
}

/** The api first, so that nobody asks for what is going; then upwards along the order of the start. */
async function stopServices(running: readonly RunningService[]): Promise<void> {
  for (const service of [...running].reverse()) await service.stop();
}

async function startBus({ config, nodeId, logger }: NodeOptions): Promise<NatsSupervisor> {
  const paths = serverPaths(config.run_dir);
  const publicKeys = Object.fromEntries(
    busUsers.map((user) => [user, loadBusKey(config.state_dir, user).publicKey]),
  );
  const { port } = config.nats;
  return NatsSupervisor.start({
    paths,
    port,
    config: renderServerConfig({ nodeId, port, paths, publicKeys }),
    logger,
  });
}

async function startOne({ config, nodeId }: NodeOptions, name: ServiceName): Promise<RunningService> {
  const { host, base_port } = config.metrics;
  return services[name](
    {
      nodeId,
      version,
      natsUrl: `nats://127.0.0.1:${config.nats.port}`,
      nkeySeed: loadBusKey(config.state_dir, name).seed,
      metricsHost: host,
      metricsPort: base_port === 0 ? 0 : base_port + serviceNames.indexOf(name),
      logLevel: config.log_level,
      ...(config.log_file === '' ? {} : { logFile: config.log_file }),
    },
    config,
  );
}

function writeReadyFile({ options, nats, services: running }: RunningNode): void {
  const { config, nodeId, service } = options;
  const content = {
    pid: process.pid,
    node_id: nodeId,
    version,
    mode: service === undefined ? 'one-process' : 'alone',
    ...(nats === undefined ? {} : { nats: { port: config.nats.port, pid: nats.pid } }),
    services: running.map(({ name, metricsUrl }) => ({ name, pid: process.pid, metrics_url: metricsUrl })),
  };
  replaceFile(join(config.run_dir, readyFileName(service)), `${JSON.stringify(content, null, 2)}\n`, 0o644);
}

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { busUsers, type RunningService } from '@gantry/bus';
import type { Logger } from 'pino';
import type { LoneService } from './command-line.js';
import type { NodeConfig } from './config-schema.js';
import { ControlKeeper } from './control-keeper.js';
import { loadBusKey } from './identity.js';
import { MemberFollower, leads } from './member-follower.js';
import { clusterUsers, type Member } from './member.js';
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
  /** In the order of their start; control, which comes and goes, is not among them. */
  readonly services: readonly RunningService[];
  /** Undefined when control never runs in this process. */
  readonly control: ControlKeeper | undefined;
  /** Undefined when nothing here depends on the node's place in a cluster. */
  readonly follower: MemberFollower | undefined;
}

/** Name of the file that says what runs here, written when all of it answers. */
export const readyFileName = (service: LoneService | undefined): string =>
  service === undefined ? 'gantryd.json' : `gantryd-${service}.json`;

/** Brings up the bus and the services, side by side where they do not need each other. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { config, service, logger } = options;
  const isAsked = (name: LoneService): boolean => service === undefined || service === name;
  const running: RunningService[] = [];
  let nats: NatsSupervisor | undefined;
  try {
    const follower = isAsked('nats') || isAsked('control') ? new MemberFollower(config, logger) : undefined;
    let member = await follower?.look();
    if (isAsked('nats')) {
      nats = await startBus(options, member).catch((error: unknown) => {
        if (member === undefined) throw error;
        // Its containers need the bus; the cluster can wait.
        follower?.refused(error);
        member = undefined;
        return startBus(options, undefined);
      });
    }
    for (const row of startOrder) {
      const asked = row.filter(isAsked);
      const results = await Promise.allSettled(asked.map((name) => startOne(options, name)));
      for (const result of results) if (result.status === 'fulfilled') running.push(result.value);
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    }
    const control = isAsked('control')
      ? new ControlKeeper(() => startOne(options, 'control'), logger)
      : undefined;
    await control?.want(leads(member));
    const bus = nats;
    follower?.follow({
      control,
      reconfigure: bus && ((place) => bus.reconfigure(serverConfig(options, place))),
    });
    const node: RunningNode = { options, nats, services: running, control, follower };
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
  await node.follower?.stop();
  await stopServices(node.services);
  // After the agent, which tells it that this node goes down on purpose.
  await node.control?.want(false);
  await node.nats?.stop();
}

/** The api first, so that nobody asks for what is going; then upwards along the order of the start. */
async function stopServices(running: readonly RunningService[]): Promise<void> {
  for (const service of [...running].reverse()) await service.stop();
}

function serverConfig({ config, nodeId }: NodeOptions, member: Member | undefined): string {
  const publicKeys = Object.fromEntries(
    busUsers.map((user) => [user, loadBusKey(config.state_dir, user).publicKey]),
  );
  const paths = serverPaths(config.run_dir);
  return renderServerConfig({ nodeId, port: config.nats.port, paths, publicKeys, member });
}

function startBus(options: NodeOptions, member: Member | undefined): Promise<NatsSupervisor> {
  const { config, logger } = options;
  return NatsSupervisor.start({
    paths: serverPaths(config.run_dir),
    port: config.nats.port,
    config: serverConfig(options, member),
    sysKeySeed: loadBusKey(config.state_dir, clusterUsers.sys).seed,
    logger,
  });
}

async function startOne({ config, nodeId }: NodeOptions, name: ServiceName): Promise<RunningService> {
  const { host, base_port } = config.metrics;
  const seedOf = (user: string): string => loadBusKey(config.state_dir, user).seed;
  return services[name](
    {
      nodeId,
      version,
      natsUrl: `nats://127.0.0.1:${config.nats.port}`,
      nkeySeed: seedOf(name),
      ...(name === 'node-agent' ? { clusterKeySeed: seedOf(clusterUsers.agent) } : {}),
      ...(name === 'control'
        ? { clusterKeySeed: seedOf(clusterUsers.control), sysKeySeed: seedOf(clusterUsers.sys) }
        : {}),
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

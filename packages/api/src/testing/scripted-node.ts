import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startService, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import { image, node } from '@gantry/protocol';
import { startApi } from '../main.js';
import { startNatsForTest } from './nats-for-test.js';
import { ScriptedAgent } from './scripted-agent.js';
import { ScriptedCluster } from './scripted-cluster.js';
import { scriptedImageStore, type Loaded } from './scripted-images.js';

/** The real api over a real bus, with services that follow a script. */
export interface ScriptedNode {
  readonly agent: ScriptedAgent;
  readonly cluster: ScriptedCluster;
  readonly loads: readonly Loaded[];
  readonly runDirectory: string;
  readonly stateDirectory: string;
  readonly socketPath: string;
  readonly environment: ServiceEnvironment;
  /** The api alone goes away and comes back. */
  restartApi(): Promise<void>;
  stop(): Promise<void>;
}

export async function startScriptedNode(): Promise<ScriptedNode> {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-test-api-'));
  const nats = await startNatsForTest();
  const running: RunningService[] = [];
  const stop = async (): Promise<void> => {
    for (const service of running.toReversed()) await service.stop();
    await nats.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const environment: ServiceEnvironment = {
      nodeId: 'node1',
      version: '0.0.1',
      natsUrl: nats.url,
      nkeySeed: '',
      metricsHost: '127.0.0.1',
      metricsPort: 0,
      logLevel: 'silent',
    };
    const agent = new ScriptedAgent();
    const cluster = await ScriptedCluster.make(directory);
    const loads: Loaded[] = [];
    running.push(
      await startService({
        name: 'node-agent',
        environment,
        descriptor: node.NodeAgent,
        start: () => Promise.resolve({ handlers: agent.handlers(), also: cluster.served() }),
      }),
      await startService({
        name: 'image-store',
        environment,
        descriptor: image.ImageStore,
        start: () => Promise.resolve({ handlers: scriptedImageStore(agent.images, loads) }),
      }),
    );
    const runDirectory = join(directory, 'run');
    const stateDirectory = join(directory, 'state');
    const config = {
      run_dir: runDirectory,
      state_dir: stateDirectory,
      socket_group: 'gantry',
      tls_port: 4330,
    };
    let api = await startApi(environment, config);
    running.push({ name: 'api', metricsUrl: api.metricsUrl, stop: () => api.stop() });
    return {
      ...{ agent, cluster, loads, runDirectory, stateDirectory, environment, stop },
      socketPath: join(runDirectory, 'api.sock'),
      restartApi: async () => {
        await api.stop();
        api = await startApi(environment, config);
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

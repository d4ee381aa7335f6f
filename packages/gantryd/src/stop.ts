import { existsSync } from 'node:fs';
import { GantryError } from '@gantry/protocol';
import { findServer } from './nats/find-server.js';
import { serverPaths } from './nats/server-config.js';
import { listRunning } from './node-lock.js';
import { signalProcess, waitUntilGone } from './process-identity.js';
import { emptyRunDirectory } from './run-directory.js';
import type { NodeConfig } from './config-schema.js';

/** Longer than gantryd itself waits for containers. */
const goneTimeoutMs = 660_000;

/** Who is asked first: those who use others go before those they use. */
const stopOrder = [
  undefined,
  'api',
  'node-agent',
  'control',
  'spawner',
  'network-manager',
  'cgroup-supervisor',
  'image-store',
  'nats',
] as const;

/** `gantryd --stop`: ends the node that runs on these directories, in one process or in several. */
export async function stopRunningNode(config: NodeConfig, keepContainers: boolean): Promise<void> {
  const { run_dir: runDirectory } = config;
  const running = listRunning(runDirectory);
  if (running.length === 0) throw notRunning(runDirectory);
  for (const service of stopOrder) {
    const one = running.find((candidate) => candidate.service === service);
    if (one === undefined) continue;
    signalProcess(one.identity, keepContainers ? 'SIGTERM' : 'SIGINT');
    if (!(await waitUntilGone(one.identity, goneTimeoutMs))) {
      throw stopFailed(runDirectory, `${service ?? 'gantryd'} (process ${one.identity.pid}) does not stop`);
    }
  }
  if (keepContainers) return;
  const server = findServer(serverPaths(runDirectory).config);
  if (server !== undefined)
    throw stopFailed(runDirectory, `nats-server (process ${server.pid}) is still there`);
  // The whole node empties the directory itself; services alone leave it to whoever stops them all.
  if (existsSync(runDirectory)) emptyRunDirectory(runDirectory);
}

function notRunning(runDirectory: string): GantryError {
  const left = findServer(serverPaths(runDirectory).config);
  const hint =
    left === undefined
      ? ''
      : `; its nats-server (process ${left.pid}) outlived it: "gantry up --detach" takes over what is left, then "gantry down"`;
  return new GantryError({
    code: 'unavailable',
    operation: 'stop',
    object: runDirectory,
    message: `gantry is not running on ${runDirectory}${hint}`,
  });
}

function stopFailed(runDirectory: string, message: string): GantryError {
  return new GantryError({ code: 'internal', operation: 'stop', object: runDirectory, message });
}

// Runs in the node's network with the api's key: calls the services as the api does and takes the time.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Bus, createBusMetrics } from '@gantry/bus';
import { network, node } from '@gantry/protocol';
import { eventually } from '@gantry/test-harness';
import { Registry } from 'prom-client';
import type { DriverTask, ManyAnswer, SandboxesAnswer, StartSample, StartsAnswer } from './bus-messages.js';

const { CreateContainer, StartContainer, WaitContainer, RemoveContainer } = node.NodeAgent.methods;
const { AttachSandbox, DetachSandbox, GetNetworkInfo } = network.NetworkManager.methods;

/** Aborted when whoever asked is gone or has enough. */
const enough = new AbortController();
const finish = (): void => {
  enough.abort();
  setTimeout(() => process.exit(1), 30_000).unref();
};
process.stdin.on('end', finish).on('error', finish).resume();

async function startOnce(bus: Bus, image: string): Promise<StartSample> {
  const sentUnixMs = Date.now();
  const sent = performance.now();
  const { id } = await bus.call(CreateContainer, { spec: { image, command: ['true'] } });
  const created = performance.now();
  await bus.call(StartContainer, { container: id });
  const running = performance.now();
  for await (const { exitCode } of await bus.openStream(WaitContainer, { container: id })) {
    if (exitCode !== undefined && exitCode !== 0) throw new Error(`true ended with ${exitCode} in ${id}`);
  }
  const exited = performance.now();
  await bus.call(RemoveContainer, { container: id, volumes: true });
  const removed = performance.now();
  return {
    sentUnixMs,
    running: running - sent,
    startAlone: running - created,
    exited: exited - sent,
    removed: removed - exited,
  };
}

async function runStarts(bus: Bus, image: string, warmUp: number, count: number): Promise<StartsAnswer> {
  for (let number = 0; number < warmUp; number += 1) await startOnce(bus, image);
  const samples: StartSample[] = [];
  while (samples.length < count && !enough.signal.aborted) samples.push(await startOnce(bus, image));
  return { samples };
}

async function inParallel<T>(
  things: readonly T[],
  parallel: number,
  act: (thing: T) => Promise<void>,
): Promise<number> {
  const queue = [...things];
  const began = performance.now();
  const workers = Array.from({ length: parallel }, async () => {
    for (let thing = queue.shift(); thing !== undefined; thing = queue.shift()) await act(thing);
  });
  await Promise.all(workers);
  return performance.now() - began;
}

async function runMany(bus: Bus, image: string, count: number, parallel: number): Promise<ManyAnswer> {
  const ids: string[] = [];
  const numbers = Array.from({ length: count }, (_, number) => number);
  try {
    const started = await inParallel(numbers, parallel, async () => {
      const { id } = await bus.call(CreateContainer, { spec: { image, command: ['sleep', '100000'] } });
      ids.push(id);
      await bus.call(StartContainer, { container: id });
    });
    return {
      started,
      removed: await inParallel(ids.splice(0), parallel, (container) => remove(bus, container)),
    };
  } finally {
    // Only what a failure left.
    await Promise.allSettled(ids.map((container) => remove(bus, container)));
  }
}

async function remove(bus: Bus, container: string): Promise<void> {
  await bus.call(RemoveContainer, { container, force: true, volumes: true });
}

async function runSandboxes(bus: Bus, count: number, warmUp: number): Promise<SandboxesAnswer> {
  const attached: number[] = [];
  for (let number = 0; number < warmUp + count; number += 1) {
    await eventually('the pool is full', async () => {
      const { poolReady, poolTarget } = await bus.call(GetNetworkInfo, {});
      return poolReady >= poolTarget;
    });
    const containerId = randomBytes(32).toString('hex');
    const began = performance.now();
    await bus.call(AttachSandbox, {
      containerId,
      networkMode: 'NETWORK_MODE_BRIDGE',
      userMode: 'USER_NAMESPACE_MODE_PRIVATE',
      names: [`bench${number}`],
    });
    if (number >= warmUp) attached.push(performance.now() - began);
    await bus.call(DetachSandbox, { containerId });
  }
  return { attached };
}

async function answer({
  natsUrl,
  nodeId,
  keyFile,
  request,
}: DriverTask): Promise<StartsAnswer | ManyAnswer | SandboxesAnswer> {
  const nkeySeed = readFileSync(keyFile, 'utf8').trim();
  const bus = await Bus.connect({
    name: 'api',
    nodeId,
    natsUrl,
    nkeySeed,
    metrics: createBusMetrics(new Registry()),
  });
  try {
    switch (request.kind) {
      case 'starts':
        return await runStarts(bus, request.image, request.warmUp, request.count);
      case 'many':
        return await runMany(bus, request.image, request.count, request.parallel);
      case 'sandboxes':
        return await runSandboxes(bus, request.count, request.warmUp);
    }
  } finally {
    await bus.connection.close();
  }
}

process.stdout.write(JSON.stringify(await answer(JSON.parse(process.argv[2] ?? '') as DriverTask)));
// Waiting for the end of the input would keep the process.
process.exit(0);

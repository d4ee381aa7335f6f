import assert from 'node:assert/strict';
import { spawn as spawnProcess, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  GantryError,
  common,
  image,
  isGantryError,
  network,
  spawn,
  type ServiceDescriptor,
} from '@gantry/protocol';
import { connect, nkeyAuthenticator, nkeys } from 'nats';
import { nodeServices, permissionsFor, type NodeService } from './access.js';
import type { Bus } from './bus.js';
import type { Handlers } from './serve.js';
import { startService, type RunningService, type ServiceEnvironment } from './service-harness.js';

const nodeId = 'node1';
let directory: string;
let port: number;
let server: ChildProcess;
const seeds = new Map<NodeService, string>();

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port: free } = probe.address() as AddressInfo;
  probe.close();
  return free;
}

async function startNats(): Promise<ChildProcess> {
  const child = spawnProcess('nats-server', ['-c', join(directory, 'nats.conf')], { stdio: 'ignore' });
  for (let tries = 0; tries < 100; tries++) {
    const reached = await fetch(`http://127.0.0.1:${port + 1}/healthz`).then(
      (response) => response.ok,
      () => false,
    );
    if (reached) return child;
    await sleep(20);
  }
  throw new Error('nats-server did not come up');
}

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-bus-test-'));
  port = await freePort();
  const users = nodeServices.map((service) => {
    const pair = (nkeys as { createUser(): { getSeed(): Uint8Array; getPublicKey(): string } }).createUser();
    seeds.set(service, new TextDecoder().decode(pair.getSeed()));
    return { nkey: pair.getPublicKey(), permissions: permissionsFor(service, nodeId) };
  });
  writeFileSync(
    join(directory, 'nats.conf'),
    JSON.stringify({ host: '127.0.0.1', port, http: `127.0.0.1:${port + 1}`, accounts: { NODE: { users } } }),
  );
  server = await startNats();
});

after(async () => {
  server.kill('SIGKILL');
  await once(server, 'exit');
  rmSync(directory, { recursive: true });
});

function environment(service: NodeService): ServiceEnvironment {
  return {
    nodeId,
    version: '0.0.1',
    natsUrl: `nats://127.0.0.1:${port}`,
    nkeySeed: seeds.get(service) ?? '',
    metricsHost: '127.0.0.1',
    metricsPort: 0,
    logLevel: 'silent',
  };
}

/** Starts the service with some handlers; methods not given are never called by the test. */
function serveSome<S extends ServiceDescriptor>(
  descriptor: S,
  handlers: Partial<Handlers<S>>,
): Promise<RunningService> {
  return startService({
    name: descriptor.name,
    environment: environment(descriptor.name as NodeService),
    descriptor,
    start: () => Promise.resolve({ handlers: handlers as Handlers<S> }),
  });
}

async function withCaller(name: NodeService, use: (bus: Bus) => Promise<void>): Promise<void> {
  let bus: Bus | undefined;
  const running = await startService({
    name,
    environment: environment(name),
    start: (kit) => {
      bus = kit.bus;
      return Promise.resolve({ handlers: {} });
    },
  });
  try {
    await use(bus as unknown as Bus);
  } finally {
    await running.stop();
  }
}

test('a call carries the request there and the answer or the typed error back', async () => {
  const store = await serveSome(image.ImageStore, {
    GetImage: ({ name }) =>
      name === 'here'
        ? Promise.resolve({ image: { id: 'sha256:1', sizeBytes: 7 } })
        : Promise.reject(
            new GantryError({
              code: 'not_found',
              operation: 'GetImage',
              object: name,
              message: `image ${name} is not here`,
            }),
          ),
  });
  try {
    await withCaller('node-agent', async (bus) => {
      const { image: found } = await bus.call(image.ImageStore.methods.GetImage, { name: 'here' });
      assert.equal(found?.sizeBytes, 7);
      await assert.rejects(bus.call(image.ImageStore.methods.GetImage, { name: 'gone' }), (error) => {
        assert.ok(isGantryError(error, 'not_found'));
        assert.equal(error.object, 'gone');
        assert.equal(error.retryable, false);
        return true;
      });
    });
  } finally {
    await store.stop();
  }
});

test('a handler past its deadline is told so, and the caller gets deadline_exceeded', async () => {
  let aborted = false;
  const store = await serveSome(image.ImageStore, {
    GetImage: async (_request, { signal }) => {
      await once(signal, 'abort');
      aborted = true;
      return {};
    },
  });
  try {
    await withCaller('node-agent', async (bus) => {
      const call = bus.call(image.ImageStore.methods.GetImage, { name: 'x' }, { deadlineMs: 80 });
      await assert.rejects(call, (error) => isGantryError(error, 'deadline_exceeded'));
      await sleep(50);
      assert.ok(aborted);
    });
  } finally {
    await store.stop();
  }
});

test('a call waits for a service that is restarting', async () => {
  await withCaller('node-agent', async (bus) => {
    const call = bus.call(image.ImageStore.methods.GetImage, { name: 'x' });
    await sleep(150);
    const store = await serveSome(image.ImageStore, { GetImage: () => Promise.resolve({}) });
    try {
      await call;
    } finally {
      await store.stop();
    }
  });
});

test('a stream delivers every message in order, however slow the reader, and stops when the reader leaves', async () => {
  let produced = 0;
  let finished = false;
  const store = await serveSome(image.ImageStore, {
    PullImage: async function* () {
      try {
        for (let index = 0; index < 2_000; index++) {
          produced = index;
          yield { layer: { digest: 'd', currentBytes: index } };
        }
      } finally {
        finished = true;
      }
    },
  });
  try {
    await withCaller('node-agent', async (bus) => {
      const whole = await bus.openStream(image.ImageStore.methods.PullImage, { reference: 'x' });
      let expected = 0;
      for await (const { layer } of whole) assert.equal(layer?.currentBytes, expected++);
      assert.equal(expected, 2_000);

      finished = false;
      const broken = await bus.openStream(image.ImageStore.methods.PullImage, { reference: 'x' });
      for await (const { layer } of broken) if (layer?.currentBytes === 10) break;
      await sleep(100);
      assert.ok(produced < 200, `the producer ran ${produced} messages ahead of its reader`);
      assert.ok(finished);
    });
  } finally {
    await store.stop();
  }
});

test('a caller that has left already opens no stream, and stops waiting for a service that is away', async () => {
  await withCaller('node-agent', async (bus) => {
    const waiting = new AbortController();
    const call = bus.call(image.ImageStore.methods.GetImage, { name: 'x' }, { signal: waiting.signal });
    setTimeout(() => waiting.abort(), 50);
    await assert.rejects(call, (error) => isGantryError(error, 'deadline_exceeded'));

    let opened = false;
    const store = await serveSome(image.ImageStore, {
      PullImage: async function* (_request, { signal }) {
        opened = true;
        yield { layer: { digest: 'd', currentBytes: 0 } };
        await once(signal, 'abort');
      },
    });
    try {
      const left = bus.openStream(
        image.ImageStore.methods.PullImage,
        { reference: 'x' },
        { signal: AbortSignal.abort() },
      );
      await assert.rejects(left, (error) => isGantryError(error, 'deadline_exceeded'));
      await sleep(50);
      assert.equal(opened, false);
    } finally {
      await store.stop();
    }
  });
});

test('a handler that outlives its service ends without bringing the process down', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): number => unhandled.push(reason);
  process.on('unhandledRejection', note);
  let finish: () => void = () => undefined;
  const store = await serveSome(image.ImageStore, {
    GetImage: () => new Promise((resolve) => (finish = () => resolve({}))),
  });
  try {
    await withCaller('node-agent', async (bus) => {
      const call = bus.call(image.ImageStore.methods.GetImage, { name: 'x' }, { deadlineMs: 400 });
      const refused = assert.rejects(call, (error) => isGantryError(error, 'deadline_exceeded'));
      await sleep(50);
      await store.stop();
      finish();
      await refused;
    });
    assert.deepEqual(unhandled, []);
  } finally {
    process.off('unhandledRejection', note);
  }
});

test('a duplex stream carries input, half-close and a final error', async () => {
  const spawner = await serveSome(spawn.Spawner, {
    AttachProcess: async function* (inputs) {
      let bytes = 0;
      for await (const input of inputs) {
        if (input.open !== undefined) yield { attached: true };
        if (input.stdin !== undefined) {
          bytes += input.stdin.length;
          yield { stdout: input.stdin };
        }
      }
      throw new GantryError({
        code: 'data_loss',
        operation: 'AttachProcess',
        message: `after ${bytes} bytes`,
      });
    },
  });
  try {
    await withCaller('node-agent', async (bus) => {
      const stream = await bus.openStream(spawn.Spawner.methods.AttachProcess, {
        open: { containerId: 'c' },
      });
      const chunk = Buffer.alloc(64 * 1024, 1);
      const writing = (async () => {
        for (let index = 0; index < 100; index++) await stream.send({ stdin: chunk });
        stream.endInput();
      })();
      let received = 0;
      await assert.rejects(
        async () => {
          for await (const { stdout } of stream) received += stdout?.length ?? 0;
        },
        { message: `after ${100 * chunk.length} bytes` },
      );
      await writing;
      assert.equal(received, 100 * chunk.length);
    });
  } finally {
    await spawner.stop();
  }
});

test('a stream that a handler refuses rejects with its error', async () => {
  const store = await serveSome(image.ImageStore, {
    PullImage: async function* () {
      await sleep(1);
      throw new GantryError({ code: 'not_found', operation: 'PullImage', message: 'image x is not there' });
      yield {};
    },
  });
  try {
    await withCaller('node-agent', async (bus) => {
      await assert.rejects(
        async () => {
          for await (const _ of await bus.openStream(image.ImageStore.methods.PullImage, {}));
        },
        (error) => isGantryError(error, 'not_found'),
      );
    });
  } finally {
    await store.stop();
  }
});

test('calls work again after nats-server was killed and started, and events reach their listeners', async () => {
  let started: (() => void) | undefined;
  const spawner = await startService({
    name: 'spawner',
    environment: environment('spawner'),
    descriptor: spawn.Spawner,
    start: (kit) => {
      started = () =>
        kit.bus.publishEvent('process-exited', spawn.ProcessExitedEventCodec, { containerId: 'c' });
      return Promise.resolve({
        handlers: { GetSpawnerInfo: () => Promise.resolve({ kernel: '6' }) } as unknown as Handlers<
          typeof spawn.Spawner
        >,
      });
    },
  });
  try {
    await withCaller('node-agent', async (bus) => {
      const heard: string[] = [];
      let reconnects = 0;
      bus.subscribeEvents('process-exited', spawn.ProcessExitedEventCodec, ({ containerId }) =>
        heard.push(containerId),
      );
      bus.onReconnect(() => (reconnects += 1));
      server.kill('SIGKILL');
      await once(server, 'exit');
      server = await startNats();
      const { kernel } = await bus.call(spawn.Spawner.methods.GetSpawnerInfo, {});
      assert.equal(kernel, '6');
      assert.equal(reconnects, 1);
      started?.();
      await sleep(50);
      assert.deepEqual(heard, ['c']);
    });
  } finally {
    await spawner.stop();
  }
});

test('every service serves /metrics and /healthz and is found with its metrics address', async () => {
  const store = await serveSome(image.ImageStore, {});
  try {
    await withCaller('api', async (bus) => {
      const [listing] = (await bus.listServices()).filter(({ name }) => name === 'gantry-image-store');
      const url = listing?.metadata['metrics_url'] ?? '';
      assert.equal(url, store.metricsUrl);
      assert.equal((await fetch(`${url}/healthz`)).status, 200);
      assert.match(await (await fetch(`${url}/metrics`)).text(), /gantry_bus_request_duration_seconds/);
    });
  } finally {
    await store.stop();
  }
});

test("no service's user can do what is not its work", async () => {
  const forbidden: Record<NodeService, { publish: string[]; subscribe: string[] }> = {
    'image-store': {
      publish: [
        `gantry.v1.node.${nodeId}.spawner.StartContainer`,
        `gantry.v1.event.${nodeId}.process-exited`,
        '$JS.API.INFO',
      ],
      subscribe: ['_INBOX_node-agent.>', `gantry.v1.node.${nodeId}.spawner.>`, 'gantry.>', '>'],
    },
    'network-manager': {
      publish: [`gantry.v1.node.${nodeId}.node-agent.StopContainer`],
      subscribe: ['_INBOX_api.>'],
    },
    'cgroup-supervisor': {
      publish: [`gantry.v1.node.${nodeId}.image-store.PullImage`],
      subscribe: ['_INBOX_>'],
    },
    spawner: {
      publish: [`gantry.v1.node.${nodeId}.cgroup-supervisor.KillCgroup`],
      subscribe: [`gantry.v1.event.${nodeId}.>`],
    },
    'node-agent': {
      publish: [`gantry.v1.event.${nodeId}.process-exited`, '$KV.x'],
      subscribe: ['_INBOX_spawner.>'],
    },
    control: {
      publish: [`gantry.v1.node.${nodeId}.node-agent.StopContainer`, '$JS.API.INFO', '$KV.x'],
      subscribe: [`gantry.v1.node.${nodeId}.control.>`, '_INBOX_api.>'],
    },
    api: {
      publish: [`gantry.v1.event.${nodeId}.container`],
      subscribe: [`gantry.v1.node.${nodeId}.node-agent.>`],
    },
  };
  for (const service of nodeServices) {
    const denied: string[] = [];
    const connection = await connect({
      servers: `nats://127.0.0.1:${port}`,
      authenticator: nkeyAuthenticator(new TextEncoder().encode(seeds.get(service) ?? '')),
    });
    void (async () => {
      for await (const status of connection.status())
        if (status.type === 'error') denied.push(JSON.stringify(status.permissionContext));
    })();
    const { publish, subscribe } = forbidden[service];
    for (const subject of publish) connection.publish(subject, common.NodeEventCodec.encode({}));
    for (const subject of subscribe) connection.subscribe(subject, { callback: () => undefined });
    await connection.flush();
    await sleep(20);
    for (const subject of [...publish, ...subscribe])
      assert.ok(
        denied.some((line) => line.includes(`"${subject}"`)),
        `${service} may use ${subject}`,
      );
    await connection.close();
  }
  await assert.rejects(
    connect({ servers: `nats://127.0.0.1:${port}`, reconnect: false }),
    /Authorization Violation/,
  );
});

test('a log that cannot be written costs lines and not the service', async () => {
  const store = await startService({
    name: 'image-store',
    environment: { ...environment('image-store'), logLevel: 'info', logFile: '/dev/full' },
    descriptor: image.ImageStore,
    start: (kit) => {
      for (let line = 0; line < 100; line++) kit.logger.info({ line }, 'said in vain');
      const handlers = { GetImage: () => Promise.resolve({}) } as unknown as Handlers<
        typeof image.ImageStore
      >;
      return Promise.resolve({ handlers });
    },
  });
  try {
    await withCaller('node-agent', async (bus) => {
      await bus.call(image.ImageStore.methods.GetImage, { name: 'x' });
    });
  } finally {
    await store.stop();
  }
});

test('the sandbox contract survives a round trip', () => {
  const bytes = network.SandboxCodec.encode({
    sandboxId: 's',
    idBase: 0x20000000,
    networkMode: 'NETWORK_MODE_BRIDGE',
  });
  const sandbox = network.SandboxCodec.decode(bytes);
  assert.equal(sandbox.idBase, 0x20000000);
  assert.equal(sandbox.userNamespace, undefined);
  assert.deepEqual(sandbox.ports, []);
});

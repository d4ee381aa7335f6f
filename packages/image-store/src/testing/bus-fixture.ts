import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { startService, type Bus, type RunningService, type ServiceEnvironment } from '@gantry/bus';

/** A port of the loopback that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

/** A real nats-server and a caller on it. */
export class BusFixture {
  readonly environment: ServiceEnvironment;
  readonly bus: Bus;
  readonly #server: ChildProcess;
  readonly #caller: RunningService;

  private constructor(
    environment: ServiceEnvironment,
    server: ChildProcess,
    caller: RunningService,
    bus: Bus,
  ) {
    this.environment = environment;
    this.#server = server;
    this.#caller = caller;
    this.bus = bus;
  }

  static async start(): Promise<BusFixture> {
    const port = await freePort();
    const server = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
    const environment: ServiceEnvironment = {
      nodeId: 'node1',
      version: '0.0.1',
      natsUrl: `nats://127.0.0.1:${port}`,
      nkeySeed: '',
      metricsHost: '127.0.0.1',
      metricsPort: 0,
      logLevel: 'silent',
    };
    const bus = Promise.withResolvers<Bus>();
    const caller = await startService({
      name: 'node-agent',
      environment,
      start: (kit) => {
        bus.resolve(kit.bus);
        return Promise.resolve({ handlers: {} });
      },
    });
    return new BusFixture(environment, server, caller, await bus.promise);
  }

  async stop(): Promise<void> {
    await this.#caller.stop();
    this.#server.kill('SIGKILL');
    await once(this.#server, 'exit');
    await sleep(0);
  }
}

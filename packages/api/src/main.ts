import { mkdir, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { startService, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import type { FastifyInstance } from 'fastify';
import type { ApiConfig } from './config.js';
import { createApiMetrics } from './metrics.js';
import { createApplication } from './service.js';
import { listenOnSocket } from './socket.js';
import { openSpool } from './spool.js';
import { TlsDoor } from './tls-door.js';

/** How long answers under way may take when the api stops, milliseconds. */
const closePatienceMs = 2_000;

/** Starts the HTTP door of the node on `<run_dir>/api.sock`. It calls other services and is called by none. */
export function startApi(environment: ServiceEnvironment, config: ApiConfig): Promise<RunningService> {
  return startService({
    name: 'api',
    environment,
    start: async ({ bus, nodeId, version, logger, registry, signal }) => {
      const socketPath = join(config.run_dir, 'api.sock');
      const spoolDirectory = join(config.state_dir, 'spool');
      await mkdir(config.run_dir, { recursive: true, mode: 0o755 });
      await openSpool(spoolDirectory);
      const metrics = createApiMetrics(registry);
      const streams = { stopping: signal, openStreams: metrics.openStreams };
      const membershipChanged = (): void => door.look();
      const app = await createApplication({
        ...{ bus, nodeId, version, logger, metrics, streams, spoolDirectory, membershipChanged },
      });
      const door = new TlsDoor(app, bus, logger);
      const sockets = trackSockets(app);
      await listenOnSocket(app, socketPath, config.socket_group);
      logger.info({ socket: socketPath }, 'listening');
      if (config.tls_port !== 0) door.start();
      return {
        handlers: {},
        stop: async () => {
          await rm(socketPath, { force: true });
          await door.stop();
          await closeWithin(app, sockets, closePatienceMs);
        },
      };
    },
  });
}

/** Lets answers under way end, for a while: a client that does not read must not hold up the stop. */
async function closeWithin(
  app: FastifyInstance,
  sockets: ReadonlySet<Socket>,
  patienceMs: number,
): Promise<void> {
  const timer = setTimeout(() => {
    for (const socket of sockets) socket.destroy();
  }, patienceMs);
  try {
    await app.close();
  } finally {
    clearTimeout(timer);
  }
}

/** Also those that have changed their protocol, which the HTTP server has forgotten. */
function trackSockets(app: FastifyInstance): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}

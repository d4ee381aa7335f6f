import { startService, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import { spawn } from '@gantry/protocol';
import type { SpawnerConfig } from './config.js';
import { createSpawnerMetrics, type SpawnerMetrics } from './metrics.js';
import { loadNative } from './native.js';
import { createHandlers } from './service.js';
import { Spawner } from './spawner.js';
import { errnoText } from './start-failure.js';
import { exitStatus } from './wire.js';

/** Runs the spawner until its `stop()`; containers and their shims stay. */
export function startSpawner(
  environment: ServiceEnvironment,
  config: SpawnerConfig,
): Promise<RunningService> {
  return startService({
    name: spawn.Spawner.name,
    environment,
    descriptor: spawn.Spawner,
    start: async ({ bus, logger, registry, version }) => {
      // Declared before the spawner, which counts exits through it.
      const metrics: SpawnerMetrics = createSpawnerMetrics(registry, () => spawner);
      const spawner = new Spawner({
        runDirectory: config.run_dir,
        native: loadNative(),
        logger,
        onLogLoss: ({ containerId, loss, errno }) => {
          metrics.logLostRecords.inc(loss.records);
          metrics.logLostBytes.inc(loss.bytes);
          const reason = errno === 0 ? undefined : errnoText(errno);
          logger.warn({ container: containerId, ...loss, reason }, 'output could not be logged');
        },
        onExit: ({ containerId, execId, attempt, exit }) => {
          const reason = exit.lost ? 'lost' : exit.signal === 0 ? 'exit' : 'signal';
          metrics.exits.inc({ kind: execId === '' ? 'container' : 'exec', reason });
          bus.publishEvent('process-exited', spawn.ProcessExitedEventCodec, {
            containerId,
            execId,
            attempt,
            exit: exitStatus(exit),
          });
        },
      });
      await spawner.adopt();
      return { handlers: createHandlers(spawner, metrics, version), stop: async () => spawner.leave() };
    },
  });
}

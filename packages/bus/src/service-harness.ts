import { GantryError, asGantryError, type ServiceDescriptor } from '@gantry/protocol';
import { pino, type Logger } from 'pino';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { createBusMetrics, type BusMetrics } from './bus-metrics.js';
import { Bus } from './bus.js';
import { serveExposition } from './exposition.js';
import { serve, type Handlers } from './serve.js';

/** What a service is told by whoever runs it. */
export interface ServiceEnvironment {
  readonly nodeId: string;
  readonly version: string;
  readonly natsUrl: string;
  /** Seed of the service's nkey; empty for a bus without authentication. */
  readonly nkeySeed: string;
  /** Seed of the service's nkey in the account CLUSTER: given to node-agent and control. */
  readonly clusterKeySeed?: string | undefined;
  /** Seed of control's nkey in the account SYS, in which it asks who is connected. */
  readonly sysKeySeed?: string | undefined;
  readonly metricsHost: string;
  /** 0 takes a free port. */
  readonly metricsPort: number;
  /** A pino level: "trace", "debug", "info", "warn", "error", "fatal" or "silent". */
  readonly logLevel: string;
  /** File the structured log is appended to; standard error when absent. */
  readonly logFile?: string | undefined;
}

/** What a service is built from. */
export interface ServiceKit {
  readonly name: string;
  readonly nodeId: string;
  readonly version: string;
  readonly bus: Bus;
  readonly logger: Logger;
  readonly registry: Registry;
  /** Those of the bus, for further connections and servings. */
  readonly busMetrics: BusMetrics;
  /** Aborted when the service begins to stop. */
  readonly signal: AbortSignal;
}

/** One more service of a process. Only `alsoServed` makes it: there descriptor and handlers are held to each other. */
export interface AlsoServed {
  readonly descriptor: ServiceDescriptor;
  readonly handlers: Readonly<Record<string, unknown>>;
}

export function alsoServed<S extends ServiceDescriptor>(descriptor: S, handlers: Handlers<S>): AlsoServed {
  return { descriptor, handlers: handlers as Readonly<Record<string, unknown>> };
}

/** What a service's start function gives back to the harness. */
export interface ServiceParts<S extends ServiceDescriptor> {
  readonly handlers: Handlers<S>;
  /** More services that the same process answers for on this node's bus: see `alsoServed`. */
  readonly also?: readonly AlsoServed[];
  /** Called once, after the handlers have stopped taking requests. Must leave containers alone. */
  readonly stop?: () => Promise<void>;
  /** Undefined when healthy, else one sentence why not. */
  readonly unhealthy?: () => string | undefined;
  /** Exposition text beside the registry's. */
  readonly renderMetrics?: () => Promise<string>;
}

export interface RunningService {
  readonly name: string;
  /** "http://127.0.0.1:9464": /metrics and /healthz are below it. */
  readonly metricsUrl: string;
  /** Stops taking requests and lets go of everything but the containers. Idempotent. */
  stop(): Promise<void>;
}

interface StartOptions<S extends ServiceDescriptor> {
  readonly name: string;
  readonly environment: ServiceEnvironment;
  /** Absent for a service that only calls others. */
  readonly descriptor?: S;
  readonly start: (kit: ServiceKit) => Promise<ServiceParts<S>>;
}

/** prom-client's gauges that end like counters; promtool complains of them, and their detail is in other figures. */
const misnamedFigures = ['handles', 'requests', 'resources'].map((kind) => `nodejs_active_${kind}_total`);

/** Collects Node.js' own figures once a process, however many services it hosts. */
let processFiguresTaken = false;

/** Runs one service: log, metrics, bus connection, handlers, health, graceful stop. */
export async function startService<S extends ServiceDescriptor>(
  options: StartOptions<S>,
): Promise<RunningService> {
  const { name, environment, descriptor } = options;
  const logger = createLogger(name, environment);
  const registry = new Registry();
  if (!processFiguresTaken) {
    processFiguresTaken = true;
    collectDefaultMetrics({ register: registry });
    for (const name of misnamedFigures) registry.removeSingleMetric(name);
  }
  const metrics = createBusMetrics(registry);
  const stopping = new AbortController();
  const bus = await Bus.connect({ ...environment, name, metrics });
  let parts: ServiceParts<S> | undefined;
  const exposition = await serveExposition({
    host: environment.metricsHost,
    port: environment.metricsPort,
    registry,
    renderMore: async () => (await parts?.renderMetrics?.()) ?? '',
    unhealthy: () => {
      if (parts === undefined) return `${name} is starting`;
      return bus.connected ? parts.unhealthy?.() : `${name} is not connected to the bus`;
    },
  }).catch(async (error: unknown) => {
    await bus.close();
    throw new GantryError({
      code: 'failed_precondition',
      operation: 'start',
      object: name,
      message: `${name} cannot listen for metrics on ${environment.metricsHost}:${environment.metricsPort}: ${asGantryError(error, 'listen').message}`,
      cause: error,
    });
  });
  try {
    const kit: ServiceKit = {
      name,
      nodeId: environment.nodeId,
      version: environment.version,
      bus,
      logger,
      registry,
      busMetrics: metrics,
      signal: stopping.signal,
    };
    parts = await options.start(kit);
    const service = await bus.connection.services.add({
      name: `gantry-${name}`,
      version: environment.version,
      description: `Gantry ${name}`,
      metadata: { metrics_url: exposition.url, node_id: environment.nodeId, pid: String(process.pid) },
    });
    const served: readonly AlsoServed[] = [
      ...(descriptor === undefined ? [] : [alsoServed(descriptor, parts.handlers)]),
      ...(parts.also ?? []),
    ];
    for (const one of served) serve({ ...one, bus, service, metrics, logger, signal: stopping.signal });
    // The subscriptions are in force before anybody is told that the service runs.
    await bus.connection.flush();
  } catch (error) {
    stopping.abort();
    await Promise.allSettled([exposition.close(), bus.close()]);
    throw error;
  }
  const running = parts;
  logger.info({ metrics: exposition.url }, 'service started');
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping.abort();
    const results = await Promise.allSettled([running.stop?.() ?? Promise.resolve(), exposition.close()]);
    await bus.close();
    for (const result of results)
      if (result.status === 'rejected') logger.error({ err: result.reason as unknown }, 'stop failed');
    logger.info('service stopped');
  };
  return { name, metricsUrl: exposition.url, stop: () => (stopped ??= stop()) };
}

/** Lines kept while they cannot be written; later ones are dropped. */
const logBacklogBytes = 1024 * 1024;

function createLogger(name: string, environment: ServiceEnvironment): Logger {
  const destination = pino.destination({
    dest: environment.logFile ?? 2,
    sync: true,
    append: true,
    mkdir: true,
    maxLength: logBacklogBytes,
  });
  // A disk without room costs log lines, never the service.
  destination.on('error', () => undefined);
  return pino(
    {
      level: environment.logLevel,
      base: { service: name, node: environment.nodeId },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    destination,
  );
}

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What the harness measures of every service without the service's doing. */
export interface BusMetrics {
  readonly requestSeconds: Histogram<'method' | 'code'>;
  /** Not `service`: discovery gives that name to the service that is asked for its metrics. */
  readonly callSeconds: Histogram<'callee' | 'method' | 'code'>;
  readonly openStreams: Gauge<'method'>;
  readonly eventsPublished: Counter<'kind'>;
  readonly reconnects: Counter;
}

const buckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];

export function createBusMetrics(registry: Registry): BusMetrics {
  const registers = [registry];
  return {
    requestSeconds: new Histogram({
      name: 'gantry_bus_request_duration_seconds',
      help: 'Time a handler of this service took to answer, by method and error code (ok when none).',
      labelNames: ['method', 'code'],
      buckets,
      registers,
    }),
    callSeconds: new Histogram({
      name: 'gantry_bus_call_duration_seconds',
      help: 'Time until another service answered a call of this one, by the service called, method and error code.',
      labelNames: ['callee', 'method', 'code'],
      buckets,
      registers,
    }),
    openStreams: new Gauge({
      name: 'gantry_bus_open_streams',
      help: 'Streams that this service is serving now.',
      labelNames: ['method'],
      registers,
    }),
    eventsPublished: new Counter({
      name: 'gantry_bus_events_published_total',
      help: 'Events published by this service.',
      labelNames: ['kind'],
      registers,
    }),
    reconnects: new Counter({
      name: 'gantry_bus_reconnects_total',
      help: 'Times the connection to the bus was lost and made again.',
      registers,
    }),
  };
}

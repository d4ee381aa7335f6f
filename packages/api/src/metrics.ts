import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export interface ApiMetrics {
  /** Answers that are no streams. */
  readonly requestSeconds: Histogram<'method' | 'route' | 'status'>;
  readonly openStreams: Gauge<'route'>;
  readonly loadedBytes: Counter;
}

/** The api's figures. Routes are labelled by their pattern, so labels stay bounded. */
export function createApiMetrics(registry: Registry): ApiMetrics {
  const registers = [registry];
  return {
    requestSeconds: new Histogram({
      name: 'gantry_api_http_request_duration_seconds',
      help: 'Time to answer an HTTP request, streams excepted.',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30],
      registers,
    }),
    openStreams: new Gauge({
      name: 'gantry_api_open_streams',
      help: 'Streams being served: logs, attach, exec, events, stats, progress, waits.',
      labelNames: ['route'],
      registers,
    }),
    loadedBytes: new Counter({
      name: 'gantry_api_loaded_bytes_total',
      help: 'Bytes of image archives received.',
      registers,
    }),
  };
}

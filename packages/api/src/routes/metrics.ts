import type { Bus } from '@gantry/bus';
import { GantryError, type control } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import type { ApiParts } from '../parts.js';
import { closed, text } from '../schemas/schema.js';
import { listNodes } from './cluster-nodes.js';

const answerWithinMs = 8_000;
const tags = ['metrics'];

/** Metrics of the node's services for other machines, and where Prometheus finds those of all nodes. */
export function metricsRoutes(app: FastifyInstance, { bus }: ApiParts): void {
  const addresses = new MetricsAddresses(bus);

  app.get<{ Params: { service: string } }>(
    '/v1/metrics/:service',
    {
      schema: {
        tags,
        summary: "Metrics of one of this node's services, in the text format of Prometheus",
        params: closed({ service: text('name, as /v1/info lists it', { minLength: 1 }) }),
      },
    },
    async (request, reply) => {
      const { service } = request.params;
      const answer = await addresses.fetch(service);
      const type = answer.headers.get('content-type') ?? 'text/plain; version=0.0.4';
      return reply.type(type).send(Buffer.from(await answer.arrayBuffer()));
    },
  );

  app.get(
    '/v1/discovery/prometheus',
    { schema: { tags, summary: 'Targets for the HTTP service discovery of Prometheus' } },
    async (request) => (await listNodes(bus, request)).flatMap(targetsOf),
  );
}

interface TargetGroup {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** One group for each service of a node: a node that is lost stays a target, which is then down. */
export function targetsOf({ record, status }: control.Node): TargetGroup[] {
  if (record === undefined || record.apiPort === 0) return [];
  const hostname = status?.hostname ?? record.hostname;
  const host = record.address.includes(':') ? `[${record.address}]` : record.address;
  return (status?.services ?? []).map(({ name }) => ({
    targets: [`${host}:${record.apiPort}`],
    labels: {
      __metrics_path__: `/v1/metrics/${name}`,
      __scheme__: 'https',
      node: record.nodeId,
      hostname,
      service: name,
      role: record.role === 'NODE_ROLE_CONTROL' ? 'control' : 'worker',
      instance: `${hostname}/${name}`,
    },
  }));
}

/** Where the services say that their metrics are; asked again when one has moved. */
class MetricsAddresses {
  readonly #bus: Bus;
  #known: ReadonlyMap<string, string> = new Map();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  async fetch(service: string): Promise<Response> {
    const known = this.#known.get(service);
    if (known !== undefined) {
      try {
        return await fetchMetrics(known);
      } catch {
        // It was started again, elsewhere.
      }
    }
    const listing = await this.#bus.listServices();
    this.#known = new Map(
      listing.map(({ name, metadata }) => [name.replace(/^gantry-/, ''), metadata['metrics_url'] ?? '']),
    );
    const address = this.#known.get(service) ?? '';
    if (address === '')
      throw new GantryError({
        code: 'not_found',
        operation: 'read metrics',
        object: service,
        message: `no service ${service} runs on this node; there are ${[...this.#known.keys()].sort().join(', ')}`,
      });
    try {
      return await fetchMetrics(address);
    } catch (cause) {
      throw new GantryError({
        code: 'unavailable',
        operation: 'read metrics',
        object: service,
        message: `service ${service} does not tell its metrics at ${address}`,
        cause,
      });
    }
  }
}

async function fetchMetrics(address: string): Promise<Response> {
  const answer = await fetch(`${address}/metrics`, { signal: AbortSignal.timeout(answerWithinMs) });
  if (!answer.ok) throw new Error(`${address} answered ${answer.status}`);
  return answer;
}

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

interface ExpositionOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly registry: Registry;
  /** Further exposition text, for series rendered outside the registry. */
  readonly renderMore: () => Promise<string>;
  /** Undefined when healthy, else the reason. */
  readonly unhealthy: () => string | undefined;
}

/** The `/metrics` and `/healthz` of one service, on loopback. */
export interface Exposition {
  readonly url: string;
  close(): Promise<void>;
}

export async function serveExposition(options: ExpositionOptions): Promise<Exposition> {
  const server = createServer((request, response) => {
    void answer(options, request.method ?? '', request.url ?? '')
      .catch((error: unknown) => ({ status: 500, type: 'text/plain', body: `${String(error)}\n` }))
      .then(({ status, type, body }) => {
        response.writeHead(status, { 'content-type': type }).end(request.method === 'HEAD' ? '' : body);
      });
  });
  await listen(server, options.host, options.port);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function answer(
  options: ExpositionOptions,
  method: string,
  url: string,
): Promise<{ status: number; type: string; body: string }> {
  const plain = 'text/plain; charset=utf-8';
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, type: plain, body: 'only GET\n' };
  switch (url.split('?')[0]) {
    case '/metrics': {
      const [own, more] = await Promise.all([options.registry.metrics(), options.renderMore()]);
      return { status: 200, type: options.registry.contentType, body: own + more };
    }
    case '/healthz': {
      const reason = options.unhealthy();
      return reason === undefined
        ? { status: 200, type: plain, body: 'ok\n' }
        : { status: 503, type: plain, body: `${reason}\n` };
    }
    default:
      return { status: 404, type: plain, body: 'there are /metrics and /healthz\n' };
  }
}

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

/** What a test does to a request before it is answered; true when it has answered it. */
export type Disturbance = (request: IncomingMessage, response: ServerResponse, path: string) => boolean;

/** Serves an OCI layout as a registry that can be made to misbehave. Debian's docker-registry is the one that behaves. */
export class TinyRegistry {
  readonly requests: string[] = [];
  disturb: Disturbance = () => false;
  readonly #server: Server;
  readonly #layouts: ReadonlyMap<string, string>;

  private constructor(layouts: ReadonlyMap<string, string>) {
    this.#layouts = layouts;
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  /** `layouts`: repository to directory. Every tag is the first manifest of index.json. */
  static async start(layouts: Readonly<Record<string, string>>): Promise<TinyRegistry> {
    const registry = new TinyRegistry(new Map(Object.entries(layouts)));
    registry.#server.listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How often a path that holds the text was asked for. */
  countOf(text: string): number {
    return this.requests.filter((path) => path.includes(text)).length;
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    this.requests.push(path);
    if (this.disturb(request, response, path)) return;
    const match = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)$/.exec(path);
    const layout = this.#layouts.get(match?.[1] ?? '');
    if (match === null || layout === undefined) {
      response.writeHead(404).end('{"errors":[{"code":"NAME_UNKNOWN"}]}');
      return;
    }
    const [, , kind, name = ''] = match;
    const content = readStored(layout, name);
    if (content === undefined) {
      response.writeHead(404).end();
      return;
    }
    const type =
      kind === 'manifests'
        ? ((JSON.parse(content.toString('utf8')) as { mediaType?: string }).mediaType ?? '')
        : 'application/octet-stream';
    const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    const body = from === undefined ? content : content.subarray(Number(from));
    response.writeHead(from === undefined ? 200 : 206, {
      'content-type': type,
      'content-length': body.length,
    });
    response.end(body);
  }
}

function readStored(layout: string, name: string): Buffer | undefined {
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
    manifests: { digest: string }[];
  };
  const digest = name.startsWith('sha256:') ? name : (index.manifests[0]?.digest ?? '');
  try {
    return readFileSync(join(layout, 'blobs', 'sha256', digest.slice('sha256:'.length)));
  } catch {
    return undefined;
  }
}

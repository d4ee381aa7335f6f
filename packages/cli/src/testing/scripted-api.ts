import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface AskedRequest {
  /** "GET /v1/nodes", with its query. */
  readonly line: string;
  readonly body: unknown;
  readonly authorization: string | undefined;
}

/** An array of lines, a document, or a failure with its status. */
export type ScriptedAnswer =
  | { readonly lines: readonly unknown[]; readonly stayOpen?: boolean }
  | { readonly document: unknown }
  | { readonly status: number; readonly failure: { readonly code: string; readonly message: string } };

type Script = Readonly<Record<string, ScriptedAnswer | ((request: AskedRequest) => ScriptedAnswer)>>;

export const document = (value: unknown): ScriptedAnswer => ({ document: value });
export const failure = (status: number, code: string, message: string): ScriptedAnswer => ({
  status,
  failure: { code, message },
});

/** Answers as an api would, by "METHOD /path"; notes what it is asked. On a unix socket, and over TLS when asked. */
export class ScriptedApi {
  readonly runDirectory = mkdtempSync(join(tmpdir(), 'gantry-test-cli-api-'));
  readonly asked: AskedRequest[] = [];
  script: Script = {};
  readonly #servers: { close(): unknown; closeAllConnections(): void }[] = [];

  static async start(): Promise<ScriptedApi> {
    const api = new ScriptedApi();
    const server = createServer(api.#listener);
    api.#servers.push(server);
    server.listen(join(api.runDirectory, 'api.sock'));
    await once(server, 'listening');
    return api;
  }

  /** Resolves with the port. */
  async listenWithTls(certificateChain: string, key: string): Promise<number> {
    const server = createTlsServer({ cert: certificateChain, key }, this.#listener);
    this.#servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  /** The body of the last request that began so. */
  bodyOf(line: string): unknown {
    return this.asked.findLast((one) => one.line.startsWith(line))?.body;
  }

  stop(): void {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
    rmSync(this.runDirectory, { recursive: true });
  }

  readonly #listener: RequestListener = (request, response) => void this.#answer(request, response);

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const asked: AskedRequest = {
      line: `${request.method ?? ''} ${request.url ?? ''}`,
      body: text === '' ? undefined : (JSON.parse(text) as unknown),
      authorization: request.headers.authorization,
    };
    this.asked.push(asked);
    const scripted = this.script[asked.line.split('?')[0] ?? ''];
    const answer =
      typeof scripted === 'function'
        ? scripted(asked)
        : (scripted ?? failure(404, 'not_found', `there is nothing at ${asked.line}`));
    if ('failure' in answer) {
      response.writeHead(answer.status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer.failure));
    } else if ('lines' in answer) {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      for (const line of answer.lines) response.write(`${JSON.stringify(line)}\n`);
      if (answer.stayOpen !== true) response.end();
    } else if (answer.document === undefined) response.writeHead(204).end();
    else response.end(JSON.stringify(answer.document));
  }
}

import http from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { GantryError } from '@gantry/protocol';

/** Until the first byte of an answer, and between any two pieces of a body. */
const idleTimeoutMs = 30_000;
const maxAttempts = 5;
const firstBackoffMs = 200;
const maxBackoffMs = 10_000;
const maxRedirects = 5;

export interface HttpAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: http.IncomingMessage;
}

/** What names the registry in messages: host and port. */
export function unreachable(registry: string, operation: string, error: unknown): GantryError {
  return new GantryError({
    code: 'unavailable',
    operation,
    object: registry,
    message: `registry ${registry} cannot be reached: ${reasonOf(error)}`,
    cause: error,
  });
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was reset',
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'names cannot be resolved at the moment',
  EHOSTUNREACH: 'no route to it',
  ENETUNREACH: 'no network to it',
  ETIMEDOUT: 'no answer in time',
  EPROTO: 'it does not speak TLS; list it in insecure_registries if it is meant to be plain HTTP',
};

function reasonOf(error: unknown): string {
  // Node tries several addresses and reports all that failed together.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const code = first instanceof Error ? (first as NodeJS.ErrnoException).code : undefined;
  return (
    (code === undefined ? undefined : reasons[code]) ??
    (first instanceof Error ? first.message : String(first))
  );
}

/** Names that are asked once only: another try would tell the same. */
function isHopeless(error: unknown): boolean {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  const code = first instanceof Error ? (first as NodeJS.ErrnoException).code : undefined;
  return (
    code === 'ECONNREFUSED' ||
    code === 'ENOTFOUND' ||
    code === 'EPROTO' ||
    code?.startsWith('ERR_TLS') === true ||
    code?.startsWith('CERT_') === true
  );
}

/** Plain GET requests over connections that are kept: redirects followed, failures tried again as the server advises. */
export class RegistryHttp {
  readonly #registry: string;
  readonly #plain = new http.Agent({ keepAlive: true, maxSockets: 16 });
  readonly #secure = new https.Agent({ keepAlive: true, maxSockets: 16 });

  constructor(registry: string) {
    this.#registry = registry;
  }

  close(): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }

  /** Any answer below 500 except 429; those are tried again first. Throws `unavailable`. */
  async get(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HttpAnswer> {
    for (let attempt = 1; ; attempt++) {
      let answer: HttpAnswer | undefined;
      let failure: unknown;
      try {
        answer = await this.#follow(url, headers, signal);
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
      }
      if (answer !== undefined && answer.status !== 429 && answer.status < 500) return answer;
      answer?.body.destroy();
      if (attempt >= maxAttempts || isHopeless(failure)) {
        if (answer === undefined) throw unreachable(this.#registry, 'pull', failure);
        throw new GantryError({
          code: 'unavailable',
          operation: 'pull',
          object: this.#registry,
          message:
            answer.status === 429
              ? `registry ${this.#registry} answers that there were too many requests`
              : `registry ${this.#registry} fails with HTTP ${answer.status}`,
        });
      }
      await sleep(backoffMs(attempt, answer?.headers['retry-after']), undefined, { signal });
    }
  }

  async #follow(
    start: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    let url = start;
    let sent = headers;
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const answer = await this.#request(url, sent, signal);
      const { location } = answer.headers;
      if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return answer;
      answer.body.resume();
      const next = new URL(location, url);
      if (next.protocol !== 'http:' && next.protocol !== 'https:')
        throw new Error(`it redirects to ${next.protocol}`);
      if (url.protocol === 'https:' && next.protocol === 'http:')
        throw new Error('it redirects from HTTPS to plain HTTP');
      // Credentials are for the registry, not for where it keeps its blobs.
      if (next.host !== url.host)
        sent = Object.fromEntries(Object.entries(sent).filter(([name]) => name !== 'authorization'));
      url = next;
    }
    throw new Error('it redirects without end');
  }

  #request(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HttpAnswer> {
    const secure = url.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const request = (secure ? https : http).request(url, {
        agent: secure ? this.#secure : this.#plain,
        headers: { 'user-agent': 'gantry', ...headers },
        signal,
        timeout: idleTimeoutMs,
      });
      request.on('timeout', () =>
        request.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })),
      );
      request.on('error', reject);
      request.on('response', (body) => {
        body.setMaxListeners(0);
        resolve({ status: body.statusCode ?? 0, headers: body.headers, body });
      });
      request.end();
    });
  }
}

/** The server's own advice when it gives one, else twice as long each time, never two clients in step. */
function backoffMs(attempt: number, retryAfter: string | undefined): number {
  const advised =
    retryAfter === undefined
      ? Number.NaN
      : /^\d+$/.test(retryAfter)
        ? Number(retryAfter) * 1000
        : Date.parse(retryAfter) - Date.now();
  if (!Number.isNaN(advised)) return Math.min(Math.max(advised, 0), maxBackoffMs);
  return Math.min(firstBackoffMs * 2 ** (attempt - 1), maxBackoffMs) * (0.5 + Math.random() / 2);
}

/** Reads a small body. Throws when it is larger than `maxBytes`. */
export async function readBody(answer: HttpAnswer, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) {
      answer.body.destroy();
      throw new GantryError({
        code: 'invalid_argument',
        operation: 'pull',
        object: what,
        message: `${what} is larger than ${maxBytes} bytes`,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

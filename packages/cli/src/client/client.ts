import { frameKinds } from '@gantry/protocol/stream-frames';
import { ApiFailure } from '../failures.js';
import { Attached } from './attached.js';
import { readFrames, type Frame } from './frames.js';
import { bodyOf, send, type HttpAnswer, type HttpRequest } from './http.js';
import type { Transport } from './transport.js';

type QueryValue = string | number | boolean | undefined | readonly string[];
export type Query = Readonly<Record<string, QueryValue>>;

interface Call {
  readonly query?: Query;
  readonly json?: unknown;
}

/** Asks the api. */
export class Client {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Where the api is, as sentences name it. */
  get address(): string {
    return this.#transport.address;
  }

  /** One request, one document (undefined when the answer has none). */
  async request<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const answer = await this.#send({
      method,
      path: path + queryText(call.query),
      json: bodyFor(method, call.json),
    });
    const text = await gather(answer);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  get<T>(path: string, query?: Query): Promise<T> {
    return this.request<T>('GET', path, query === undefined ? {} : { query });
  }

  post<T>(path: string, json: unknown = {}): Promise<T> {
    return this.request<T>('POST', path, { json });
  }

  /** A stream of JSON lines. Throws when its last line is an error. */
  async lines<T>(method: string, path: string, call: Call = {}): Promise<AsyncGenerator<T>> {
    return readLines<T>(
      await this.#send({ method, path: path + queryText(call.query), json: bodyFor(method, call.json) }),
    );
  }

  /** Sends a body of unknown length and reads lines. */
  async upload<T>(
    path: string,
    stream: AsyncIterable<Uint8Array>,
    streamType: string,
  ): Promise<AsyncGenerator<T>> {
    return readLines<T>(await this.#send({ method: 'POST', path, stream, streamType }));
  }

  /** A stream of frames. Throws when its last frame is an error. */
  async frames(path: string, query: Query): Promise<AsyncGenerator<Frame>> {
    const answer = await this.#send({ method: 'GET', path: path + queryText(query) });
    return withoutErrors(readFrames(bodyOf(answer)));
  }

  /** A connection to a process, both ways. */
  async attach(path: string, query: Query): Promise<Attached> {
    const answer = await send(this.#transport, {
      method: 'POST',
      path: path + queryText(query),
      upgrade: 'gantry-frames/1',
    });
    if (answer.status !== 101) throw await failureOf(answer);
    return new Attached(answer);
  }

  async #send(request: HttpRequest): Promise<HttpAnswer> {
    const answer = await send(this.#transport, request);
    if (answer.status >= 300) throw await failureOf(answer);
    return answer;
  }
}

/** Path of a container's resource: names may hold what paths may not. */
export const containerPath = (container: string, rest = ''): string =>
  `/v1/containers/${encodeURIComponent(container)}${rest}`;

export const nodePath = (name: string): string => `/v1/nodes/${encodeURIComponent(name)}`;
export const stackPath = (stack: string, rest = ''): string =>
  `/v1/stacks/${encodeURIComponent(stack)}${rest}`;
export const servicePath = (service: string, rest = ''): string =>
  `/v1/services/${encodeURIComponent(service)}${rest}`;

export const imagePath = (image: string, rest = ''): string =>
  `/v1/images/${encodeURIComponent(image)}${rest}`;

const bodyFor = (method: string, json: unknown): unknown => (method === 'POST' ? (json ?? {}) : json);

function queryText(query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    value === undefined
      ? []
      : (Array.isArray(value) ? (value as string[]) : [String(value)]).map((one) => [key, one] as const),
  );
  if (pairs.length === 0) return '';
  return `?${pairs.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&')}`;
}

async function gather(answer: HttpAnswer): Promise<string> {
  if (answer.status === 204) {
    answer.socket.destroy();
    return '';
  }
  const chunks: Buffer[] = [];
  for await (const chunk of bodyOf(answer)) chunks.push(chunk);
  answer.socket.destroy();
  return Buffer.concat(chunks).toString();
}

async function failureOf(answer: HttpAnswer): Promise<ApiFailure> {
  const text = await gather(answer);
  try {
    return new ApiFailure(JSON.parse(text) as ApiFailure);
  } catch {
    const code = answer.status === 503 ? 'unavailable' : 'internal';
    return new ApiFailure({ code, message: `gantry answered ${answer.status} ${text}`.trim() });
  }
}

async function* readLines<T>(answer: HttpAnswer): AsyncGenerator<T> {
  let rest = '';
  const decoder = new TextDecoder();
  try {
    for await (const chunk of bodyOf(answer)) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const value: unknown = JSON.parse(line);
        const { error } = value as { error?: ApiFailure };
        if (error !== undefined) throw new ApiFailure(error);
        yield value as Awaited<T>;
      }
    }
  } finally {
    answer.socket.destroy();
  }
}

async function* withoutErrors(frames: AsyncGenerator<Frame>): AsyncGenerator<Frame> {
  for await (const frame of frames) {
    if (frame.kind === frameKinds.error)
      throw new ApiFailure(JSON.parse(frame.payload.toString()) as ApiFailure);
    yield frame;
  }
}

import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  readonly json: unknown;
}

/** Plain node:http on the api's socket: the api is proven with somebody else's client. */
export class SocketClient {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async call(method: string, path: string, body?: unknown): Promise<Answer> {
    const sent = this.open(method, path, body === undefined ? {} : { 'content-type': 'application/json' });
    sent.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('latin1');
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: answer.statusCode ?? 0, headers: answer.headers, text, json };
  }

  open(method: string, path: string, headers: Record<string, string> = {}): ClientRequest {
    return request({ socketPath: this.#socketPath, method, path, headers, agent: false });
  }

  /** The answer's stream as soon as its head is there. */
  async stream(method: string, path: string): Promise<IncomingMessage> {
    const sent = this.open(method, path);
    sent.end();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    return answer;
  }

  /** The connection after its protocol has changed, or the refusal. */
  async upgrade(path: string, protocol = 'gantry-frames/1'): Promise<Duplex | Answer> {
    const sent = this.open('POST', path, { connection: 'Upgrade', upgrade: protocol });
    sent.end();
    return new Promise((resolve, reject) => {
      sent.once('upgrade', (_answer, socket: Duplex, head: Buffer) => {
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      sent.once('response', (answer: IncomingMessage) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.once('end', () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, json: JSON.parse(text) }),
        );
      });
      sent.once('error', reject);
    });
  }
}

export interface SeenFrame {
  readonly kind: number;
  readonly payload: Buffer;
}

/** Whole frames of a byte stream. */
export function splitFrames(bytes: Buffer): SeenFrame[] {
  const frames: SeenFrame[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32BE(at + 4);
    frames.push({ kind: bytes.readUInt8(at), payload: bytes.subarray(at + 8, at + 8 + length) });
    at += 8 + length;
  }
  return frames;
}

export async function readAll(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

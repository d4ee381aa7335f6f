import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';

/** What the api answered: the status and the document. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** What was on its way to a leader that dies is not waited for: those who look again and again ask anew. */
const readWithinMs = 3_000;
const changeWithinMs = 30_000;

/** One request on a unix socket. Rejects when there is no whole answer in time; an answer that says no is an answer. */
export function requestApi(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const content = body === undefined ? undefined : JSON.stringify(body);
    const call = request({
      socketPath,
      method,
      path,
      headers: { host: 'gantry', ...(content === undefined ? {} : { 'content-type': 'application/json' }) },
      signal: AbortSignal.timeout(method === 'GET' ? readWithinMs : changeWithinMs),
    });
    call.once('error', reject);
    call.once('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => (text += chunk));
      answer.once('error', reject);
      answer.once('end', () => {
        try {
          resolve({ status: answer.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) });
        } catch (error) {
          reject(new Error(`${method} ${path} answered no JSON: ${text.slice(0, 200)}`, { cause: error }));
        }
      });
    });
    call.end(content);
  });
}

/** The lines of a stream, parsed, until it ends; an error among them is thrown. */
export async function* readApiLines(socketPath: string, path: string, withinMs = 120_000): AsyncGenerator {
  const signal = AbortSignal.timeout(withinMs);
  const call = request({ socketPath, path, headers: { host: 'gantry' }, signal });
  call.end();
  const [answer] = (await once(call, 'response')) as [IncomingMessage];
  try {
    for await (const line of createInterface({ input: answer })) {
      const value = JSON.parse(line) as { error?: unknown };
      if (answer.statusCode !== 200 || value.error !== undefined)
        throw new Error(`GET ${path} answered ${answer.statusCode}: ${line}`);
      yield value;
    }
  } finally {
    answer.destroy();
  }
}

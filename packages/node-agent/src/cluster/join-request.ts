import { X509Certificate, createPrivateKey } from 'node:crypto';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import type { Token } from '@gantry/membership';
import { fingerprintOf } from '@gantry/membership/certificates';
import { refusalOf } from '@gantry/membership/server-certificate';
import { type GantryError, type ErrorCode, type control } from '@gantry/protocol';
import { reasonOf, refusal } from '../refuse.js';

const DEFAULT_PORT = 4330;
const CONNECT_MS = 8_000;
const ANSWER_MS = 40_000;
/** Far above an answer for hundreds of nodes. */
const ANSWER_BYTES = 8 * 1024 * 1024;
const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'invalid_argument',
  'not_found',
  'already_exists',
  'failed_precondition',
  'resource_exhausted',
  'unavailable',
  'deadline_exceeded',
  'permission_denied',
  'data_loss',
  'internal',
]);

export interface ControlAddress {
  readonly host: string;
  readonly port: number;
  /** For people. */
  readonly text: string;
}

/** "ADDRESS[:PORT]", IPv6 in brackets where a port follows. */
export function parseControlAddress(text: string): ControlAddress {
  const wrong = (): Error =>
    refusal(
      'invalid_argument',
      'JoinCluster',
      text,
      `${JSON.stringify(text)} is not ADDRESS or ADDRESS:PORT of a control node`,
    );
  if (isIP(text) === 6) return { host: text, port: DEFAULT_PORT, text: `[${text}]:${DEFAULT_PORT}` };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (host === undefined || port < 1 || port > 65535) throw wrong();
  return { host, port, text: isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}` };
}

/** A connection to a control node's api that is known to belong to the token's cluster. */
export interface TrustedConnection extends Disposable {
  readonly socket: TLSSocket;
  /** Address of this machine on it. */
  readonly localAddress: string;
}

/**
 * Connects, and trusts nothing but the token: the server's certificate must be signed by the authority whose fingerprint
 * the token carries, for a control node at this address. Nothing is sent before.
 */
export async function connectTrusted(address: ControlAddress, token: Token): Promise<TrustedConnection> {
  const socket = connect({
    host: address.host,
    port: address.port,
    // Judged below by the token's fingerprint: the authority itself is not known here yet.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    ...(isIP(address.host) === 0 ? { servername: address.host } : {}),
  });
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new NoAnswer()), CONNECT_MS);
      socket.once('secureConnect', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.once('error', (error: Error) => {
        clearTimeout(timer);
        reject(error);
      });
    });
  } catch (error) {
    socket.destroy();
    throw unreachable(address, error);
  }
  const why = refusalOf(socket.getPeerX509Certificate(), address.host, token.caFingerprint, {
    role: 'control',
  });
  if (why !== undefined) {
    socket.destroy();
    throw refusal(
      'permission_denied',
      'JoinCluster',
      address.text,
      `${address.text} ${why}; nothing was sent to it`,
    );
  }
  return {
    socket,
    localAddress: socket.localAddress ?? '',
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

class NoAnswer extends Error {
  readonly code = 'ETIMEDOUT';
}

/** Why nobody could be asked, in words that say what to look at. */
function unreachable(address: ControlAddress, error: unknown): GantryError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const why: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'the connection was refused: is it a control node, and is gantry running there',
    ETIMEDOUT: `nobody answered within ${CONNECT_MS / 1000} s`,
    EHOSTUNREACH: 'there is no way to that host',
    ENETUNREACH: 'there is no way to that network',
    ENOTFOUND: 'the name is not known',
    EAI_AGAIN: 'the name cannot be looked up now',
    ECONNRESET: 'the connection was closed at once: is it the port of the api',
    EPROTO: 'it does not speak TLS: is it the port of the api',
  };
  const reason = Object.hasOwn(why, code)
    ? why[code]
    : code.startsWith('ERR_SSL')
      ? why['EPROTO']
      : reasonOf(error);
  return refusal(
    'unavailable',
    'JoinCluster',
    address.text,
    `control node ${address.text} cannot be reached: ${reason}`,
    error,
  );
}

/** Asks to be taken in. An error of control comes back as the same error. */
export async function postJoin(
  address: ControlAddress,
  { socket }: TrustedConnection,
  wish: control.JoinNodeRequest,
): Promise<control.JoinNodeResponse> {
  const body = JSON.stringify(wish);
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = httpsRequest(
      {
        method: 'POST',
        path: '/v1/cluster/members',
        headers: {
          host: address.text,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          connection: 'close',
        },
        createConnection: () => socket,
        signal: AbortSignal.timeout(ANSWER_MS),
      },
      (response) => {
        let answer = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          answer += chunk;
          if (answer.length > ANSWER_BYTES) response.destroy(new Error('its answer is too long'));
        });
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: answer }));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  }).catch((error: unknown) => {
    const late = error instanceof Error && error.name === 'AbortError';
    const reason = late ? `no answer within ${ANSWER_MS / 1000} s` : reasonOf(error);
    throw refusal(
      'unavailable',
      'JoinCluster',
      address.text,
      `control node ${address.text} did not answer the join: ${reason}`,
      error,
    );
  });
  const answer = parseObject(text);
  if (status === 200 && answer !== undefined) return answer as unknown as control.JoinNodeResponse;
  throw answeredError(address, status, answer);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function answeredError(
  address: ControlAddress,
  status: number,
  answer: Record<string, unknown> | undefined,
): GantryError {
  const text = (name: string): string => (typeof answer?.[name] === 'string' ? answer[name] : '');
  const code = text('code');
  if (!CODES.has(code) || text('message') === '')
    return refusal(
      'unavailable',
      'JoinCluster',
      address.text,
      `control node ${address.text} answered the join with HTTP status ${status}: is it the api of gantry`,
    );
  return refusal(code as ErrorCode, 'JoinCluster', text('object'), text('message'));
}

/** The answer is whole, and its certificates are what the token and the own key say. */
export function checkJoinAnswer(
  address: ControlAddress,
  token: Token,
  key: string,
  answer: control.JoinNodeResponse,
): void {
  try {
    const ca = new X509Certificate(answer.caCertificate);
    const own = new X509Certificate(answer.certificate);
    const roles = ['NODE_ROLE_WORKER', 'NODE_ROLE_CONTROL'];
    if (
      fingerprintOf(answer.caCertificate) === token.caFingerprint &&
      own.verify(ca.publicKey) &&
      own.checkPrivateKey(createPrivateKey(key)) &&
      answer.clusterId !== '' &&
      answer.view?.clusterId === answer.clusterId &&
      Array.isArray(answer.view.members) &&
      roles.includes(answer.role)
    )
      return;
  } catch {
    // told below
  }
  throw refusal(
    'data_loss',
    'JoinCluster',
    address.text,
    `control node ${address.text} answered with certificates that do not belong to the token and this node`,
  );
}

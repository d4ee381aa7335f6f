import type { Socket } from 'node:net';
import { UsageFailure } from '../failures.js';
import type { Transport } from './transport.js';

/** What a token for the api holds, as far as this side cares. */
const tokenShape = /^ga1\.([0-9a-f]{64})\.[0-9a-f]{12}\.[0-9a-f]{40}$/;

export const defaultApiPort = 4330;

export interface RemoteAddress {
  readonly host: string;
  readonly port: number;
}

/** `tcp://HOST[:PORT]` or `https://HOST[:PORT]`; undefined for what is neither. */
export function parseRemoteAddress(text: string): RemoteAddress | undefined {
  const match = /^(?:tcp|https):\/\/(?:\[([0-9a-fA-F:.]+)\]|([^/:\s[\]]+))(?::(\d{1,5}))?\/?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultApiPort : Number(match[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

export const showRemoteAddress = ({ host, port }: RemoteAddress): string =>
  `tcp://${host.includes(':') ? `[${host}]` : host}:${port}`;

/** SHA-256 of the certificate of the cluster's authority, which the token names. */
export function fingerprintIn(token: string, origin: string): string {
  const fingerprint = tokenShape.exec(token)?.[1];
  if (fingerprint !== undefined) return fingerprint;
  throw new UsageFailure(
    token === ''
      ? `${origin}: an api on TCP wants a token (\`gantry api-token create\` on a control node makes one): set GANTRY_TOKEN, or make a context`
      : `${origin}: the token is not one for the api: it begins with "ga1." and has four parts`,
  );
}

/** The api of a cluster's member over TLS. Only a server of the cluster that the token names is given the token. */
export class RemoteTransport implements Transport {
  readonly address: string;
  readonly headers: readonly string[];
  readonly #remote: RemoteAddress;
  readonly #caFingerprint: string;

  constructor(remote: RemoteAddress, token: string, origin: string) {
    this.#remote = remote;
    this.#caFingerprint = fingerprintIn(token, origin);
    this.address = showRemoteAddress(remote);
    this.headers = [`authorization: Bearer ${token}`];
  }

  async open(): Promise<Socket> {
    const { openPinned } = await import('./pinned-connection.js');
    return openPinned(this.#remote, this.address, this.#caFingerprint);
  }

  // What can go wrong before there is a connection is described where it happens.
  describe(): undefined {
    return undefined;
  }
}

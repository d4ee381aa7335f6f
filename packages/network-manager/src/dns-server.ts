import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket as TcpSocket } from 'node:net';
import { answerLocally, readQuery, refuse, truncated, type Query } from './dns-answer.js';
import { FrameReader, asFrame, Forwarder, type Upstream } from './dns-forward.js';
import { parseAddress, type Address } from './ipv4.js';
import type { NameTable } from './names.js';

/** Queries to resolvers outside that may wait at the same time: beyond it the asker is told to come back. */
const maxForwarding = 512;
const maxTcpConnections = 256;
const tcpIdleMs = 10_000;

export type DnsOutcome = 'local' | 'forwarded' | 'failed' | 'refused' | 'malformed';

export interface DnsServerOptions {
  readonly address: string;
  readonly port: number;
  readonly names: NameTable;
  /** True for the addresses that may ask, and whose reverse names are ours. */
  readonly isOurs: (address: Address) => boolean;
  /** Resolvers for a question from this container's address. */
  readonly upstreamsFor: (asker: Address) => readonly Upstream[];
  readonly count: (outcome: DnsOutcome) => void;
}

/** The name server of one bridge: containers' names from the node's own table, everything else from outside. */
export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #stopping = new AbortController();
  readonly #connections = new Set<TcpSocket>();
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  readonly #forwarder = new Forwarder();
  #forwarding = 0;

  constructor(options: DnsServerOptions) {
    this.#options = options;
  }

  /** Binds both sockets or none. */
  async start(): Promise<void> {
    const { address, port } = this.#options;
    const udp = createSocket({ type: 'udp4' });
    const tcp = createServer({ noDelay: true }, (socket) => this.#serveConnection(socket));
    try {
      await new Promise<void>((resolve, reject) => {
        udp.once('error', reject);
        udp.bind({ address, port, exclusive: true }, resolve);
      });
      await new Promise<void>((resolve, reject) => {
        tcp.once('error', reject);
        tcp.listen({ host: address, port, exclusive: true }, resolve);
      });
    } catch (error) {
      udp.close();
      tcp.close();
      throw error;
    }
    udp.removeAllListeners('error');
    // Errors of single datagrams (an asker that went away) concern nobody.
    udp.on('error', () => undefined);
    tcp.on('error', () => undefined);
    udp.on('message', (bytes, from) => void this.#serveDatagram(udp, bytes, from));
    tcp.maxConnections = maxTcpConnections;
    this.#udp = udp;
    this.#tcp = tcp;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const socket of this.#connections) socket.destroy();
    const udp = this.#udp;
    const tcp = this.#tcp;
    this.#udp = undefined;
    this.#tcp = undefined;
    if (udp !== undefined) await new Promise<void>((resolve) => udp.close(resolve));
    if (tcp !== undefined) await new Promise<void>((resolve) => tcp.close(() => resolve()));
  }

  async #serveDatagram(udp: UdpSocket, bytes: Buffer, from: RemoteInfo): Promise<void> {
    const query = readQuery(bytes);
    const answer = await this.#answer(query, bytes, from.address, false);
    if (answer === undefined || query === undefined || this.#udp === undefined) return;
    udp.send(
      answer.length > query.udpSize ? truncated(query) : answer,
      from.port,
      from.address,
      () => undefined,
    );
  }

  #serveConnection(socket: TcpSocket): void {
    this.#connections.add(socket);
    const frames = new FrameReader();
    socket.setTimeout(tcpIdleMs, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#connections.delete(socket));
    // No more is read before what was asked is answered and taken: else a container could fill our memory with answers.
    socket.on('data', (chunk) => {
      socket.pause();
      void this.#answerInTurn(socket, frames.push(chunk)).then(() => socket.resume());
    });
  }

  async #answerInTurn(socket: TcpSocket, frames: readonly Buffer[]): Promise<void> {
    for (const frame of frames) {
      const answer = await this.#answer(readQuery(frame), frame, socket.remoteAddress ?? '', true);
      if (answer === undefined) socket.destroy();
      if (answer === undefined || socket.destroyed) return;
      if (!socket.write(asFrame(answer)))
        await new Promise<void>((resolve) => {
          const done = (): void => {
            socket.off('drain', done).off('close', done);
            resolve();
          };
          socket.once('drain', done).once('close', done);
        });
    }
  }

  /** Undefined: say nothing. */
  async #answer(
    query: Query | undefined,
    bytes: Buffer,
    from: string,
    overTcp: boolean,
  ): Promise<Buffer | undefined> {
    const { count, isOurs, names, upstreamsFor } = this.#options;
    const asker = parseAddress(from);
    if (query === undefined || asker === undefined || !isOurs(asker)) {
      count('malformed');
      return undefined;
    }
    const known = answerLocally(query, names, isOurs, asker);
    if (known !== undefined) {
      count('local');
      return known;
    }
    const upstreams = upstreamsFor(asker);
    if (upstreams.length === 0 || this.#forwarding >= maxForwarding) {
      count('refused');
      return refuse(query, 'serverFailure');
    }
    this.#forwarding++;
    try {
      const answer = await this.#forwarder.forward(bytes, upstreams, overTcp, this.#stopping.signal);
      count(answer === undefined ? 'failed' : 'forwarded');
      return answer ?? refuse(query, 'serverFailure');
    } finally {
      this.#forwarding--;
    }
  }
}

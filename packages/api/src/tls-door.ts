import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus, ServiceKit } from '@gantry/bus';
import { node } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';
import { isKnown } from './admission.js';

/** Between two looks at the node's membership: joining and leaving through this api are seen at once. */
const lookEveryMs = 5_000;
const lookAgainMs = 500;
const answerWithinMs = 5_000;

/** How long the door waits for people it does not know, and how many connections it has. */
interface Limits {
  readonly handshakeMs: number;
  /** For the headers of a request. */
  readonly headersMs: number;
  /** For the body of a request that no token let in: refused ones, and nodes that join. */
  readonly strangersBodyMs: number;
  readonly connections: number;
}

const usualLimits: Limits = {
  handshakeMs: 10_000,
  headersMs: 10_000,
  strangersBodyMs: 10_000,
  connections: 1_000,
};

interface Place {
  readonly address: string;
  readonly port: number;
  readonly certificate: string;
  readonly key: string;
}

/**
 * The same application for other machines: listens with the node's certificate on its address in the cluster, while the
 * node is a member. Who comes in is asked for a token (admission.ts).
 */
export class TlsDoor {
  readonly #app: FastifyInstance;
  readonly #bus: Bus;
  readonly #logger: ServiceKit['logger'];
  readonly #limits: Limits;
  readonly #sockets = new Set<Socket>();
  readonly #stopping = new AbortController();
  #look = new AbortController();
  #server: Server | undefined;
  #place: Place | undefined;
  #complaint = '';
  #watching: Promise<void> | undefined;

  constructor(app: FastifyInstance, bus: Bus, logger: ServiceKit['logger'], limits: Limits = usualLimits) {
    this.#app = app;
    this.#bus = bus;
    this.#logger = logger;
    this.#limits = limits;
  }

  start(): void {
    this.#watching = this.#watch();
  }

  /** Looks now: the membership may have changed. */
  look(): void {
    this.#look.abort();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.look();
    await this.#watching;
    await this.#close();
  }

  async #watch(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#look = new AbortController();
      let waitMs = lookEveryMs;
      try {
        await this.#follow(await this.#readPlace());
        this.#complaint = '';
      } catch (error) {
        waitMs = lookAgainMs;
        this.#complain(error);
      }
      await sleep(waitMs, undefined, { signal: this.#look.signal, ref: false }).catch(() => undefined);
    }
  }

  /** Once for each cause: it is tried twice a second. */
  #complain(error: unknown): void {
    const cause = error instanceof Error ? error.message : String(error);
    if (cause === this.#complaint || this.#stopping.signal.aborted) return;
    this.#complaint = cause;
    this.#logger.warn({ err: error }, 'the door over TLS cannot be opened yet');
  }

  async #readPlace(): Promise<Place | undefined> {
    const membership = await this.#bus.call(
      node.Membership.methods.GetMembership,
      {},
      { deadlineMs: answerWithinMs, signal: this.#stopping.signal },
    );
    const { clusterId, address, apiPort, certificatePath, keyPath } = membership;
    if (clusterId === '' || apiPort === 0 || certificatePath === '') return undefined;
    const [certificate, key] = await Promise.all([
      readFile(certificatePath, 'utf8'),
      readFile(keyPath, 'utf8'),
    ]);
    return { address, port: apiPort, certificate, key };
  }

  async #follow(place: Place | undefined): Promise<void> {
    const before = this.#place;
    if (
      place === undefined ||
      before === undefined ||
      place.address !== before.address ||
      place.port !== before.port
    ) {
      await this.#close();
      if (place !== undefined) await this.#open(place);
    } else if (place.certificate !== before.certificate || place.key !== before.key) {
      this.#server?.setSecureContext({ cert: place.certificate, key: place.key });
    }
    this.#place = place;
  }

  async #open({ address, port, certificate, key }: Place): Promise<void> {
    const { handshakeMs, headersMs, connections } = this.#limits;
    const server = createServer(
      {
        cert: certificate,
        key,
        minVersion: 'TLSv1.3',
        handshakeTimeout: handshakeMs,
        headersTimeout: headersMs,
        // How often node:http looks whose headers are overdue.
        connectionsCheckingInterval: Math.ceil(headersMs / 5),
        // Whoever was let in takes as long as an image takes to come. Answers are limited by nothing of this.
        requestTimeout: 0,
      },
      (request, response) => {
        this.#limitBody(request);
        this.#app.routing(request, response);
      },
    );
    server.maxConnections = connections;
    server.on('upgrade', (request, socket, head) => this.#app.server.emit('upgrade', request, socket, head));
    // Before the handshake already: closing waits for none that hangs in it.
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    // Strangers who speak no TLS, or want an old one, are no news.
    server.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address, port }, () => {
        server.off('error', reject);
        resolve();
      });
    });
    server.on('error', (error) => this.#logger.error({ err: error }, 'the door over TLS failed'));
    this.#server = server;
    this.#logger.info({ address, port }, 'listening over TLS');
  }

  #limitBody(request: IncomingMessage): void {
    const late = setTimeout(() => {
      if (!request.complete && !isKnown(request)) request.socket.destroy();
    }, this.#limits.strangersBodyMs);
    late.unref();
    request.once('close', () => clearTimeout(late));
  }

  /** Answers under way end with their connections: their askers are told by the broken connection, and ask again. */
  async #close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#place = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus, ServiceKit } from '@gantry/bus';
import { node } from '@gantry/protocol';
import type { FastifyInstance } from 'fastify';

/** Between two looks at the node's membership: joining and leaving through this api are seen at once. */
const lookEveryMs = 5_000;
const lookAgainMs = 500;
const answerWithinMs = 5_000;

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
  readonly #sockets = new Set<Socket>();
  readonly #stopping = new AbortController();
  #look = new AbortController();
  #server: Server | undefined;
  #place: Place | undefined;
  #complaint = '';
  #watching: Promise<void> | undefined;

  constructor(app: FastifyInstance, bus: Bus, logger: ServiceKit['logger']) {
    this.#app = app;
    this.#bus = bus;
    this.#logger = logger;
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
    const server = createServer(
      { cert: certificate, key, minVersion: 'TLSv1.3', requestTimeout: 0 },
      (request, response) => this.#app.routing(request, response),
    );
    server.on('upgrade', (request, socket, head) => this.#app.server.emit('upgrade', request, socket, head));
    server.on('secureConnection', (socket: TLSSocket) => {
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

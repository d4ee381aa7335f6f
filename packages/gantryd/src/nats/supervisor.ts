import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { GantryError } from '@gantry/protocol';
import type { Logger } from 'pino';
import { isAlive, signalProcess, waitUntilGone, type ProcessIdentity } from '../process-identity.js';
import { readIfPresent, replaceFile } from '../state-file.js';
import { findServer } from './find-server.js';
import { reloadAndCutLeaves } from './leaf-cut.js';
import { identityOf, leafKeysOf, type ServerPaths } from './server-config.js';

/** How often an adopted server, whose exit is not reported to us, is looked at. */
const watchIntervalMs = 250;
const firstBackoffMs = 50;
const longestBackoffMs = 5_000;
/** A server that lived this long has earned a quick restart. */
const steadyAfterMs = 10_000;
const listenTimeoutMs = 10_000;

export interface SupervisorOptions {
  readonly paths: ServerPaths;
  readonly port: number;
  /** Content that the configuration file must have at first. */
  readonly config: string;
  /** Of a user of SYS, where the configuration has one: to cut off leaves that are let in no more. */
  readonly sysKeySeed?: string;
  readonly logger: Logger;
  /** Called with every start after the first. */
  readonly onRestart?: () => void;
}

/**
 * Keeps one nats-server running for this node.
 *
 * ```
 *                  found, listening             exit
 *   start ──> look ───────────────> watching ─────────> wait (50 ms … 5 s) ──┐
 *              │ none                  ^                                     │
 *              └──────> spawn ─────────┴─────────────────────────────────────┘
 * ```
 *
 * The server is a session of its own and holds none of our descriptors: it outlives a gantryd that is killed, and the
 * next gantryd adopts it. Services notice neither.
 */
export class NatsSupervisor {
  readonly #options: SupervisorOptions;
  /** Content that the configuration file must have now. */
  #config: string;
  /** The change of configuration under way: the watch does not start a server meanwhile. */
  #change: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();
  #server: ProcessIdentity | undefined;
  #watch: Promise<void> | undefined;
  /** Resolves when a server that is our child has been waited for: else its zombie would outlive us. */
  #reaped: Promise<void> = Promise.resolve();

  private constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** Resolves when the server listens. */
  static async start(options: SupervisorOptions): Promise<NatsSupervisor> {
    const supervisor = new NatsSupervisor(options);
    mkdirSync(options.paths.directory, { recursive: true, mode: 0o700 });
    if (!(await supervisor.#adopt())) await supervisor.#launch();
    supervisor.#watch = supervisor.#keepRunning();
    return supervisor;
  }

  /**
   * Gives the server another configuration: by a reload where that is enough, else by another server. Services reconnect
   * by themselves. Throws when the new one does not come up; it is then tried again like one that has gone.
   */
  async reconfigure(config: string): Promise<void> {
    const changed = this.#change.then(() => this.#apply(config));
    this.#change = changed.catch(() => undefined);
    await changed;
  }

  async #apply(config: string): Promise<void> {
    const { paths, logger } = this.#options;
    const previous = this.#config;
    if (config === previous || this.#stopping.signal.aborted) return;
    this.#config = config;
    const server = findServer(paths.config);
    // Between two servers: the watch starts the next one from the new configuration.
    if (server === undefined) return;
    if (identityOf(config) === identityOf(previous) && (await this.#reload(server, previous))) return;
    logger.info({ pid: server.pid }, 'nats-server is replaced for a new configuration');
    await endServer(server);
    try {
      await this.#launch();
    } catch (error) {
      // A bus that was good is better than none.
      this.#config = previous;
      await this.#launch().catch((again: unknown) =>
        logger.error({ err: again }, 'nats-server could not be started again'),
      );
      throw error;
    } finally {
      this.#options.onRestart?.();
    }
  }

  /** False when the server does not take the configuration: only another server will. */
  async #reload(server: ProcessIdentity, previous: string): Promise<boolean> {
    const { paths, port, sysKeySeed, logger } = this.#options;
    const config = this.#config;
    const reload = (): void => {
      signalProcess(server, 'SIGHUP');
    };
    // Found by the next gantryd if this one is killed before the server has been told.
    replaceFile(paths.reloading, '');
    replaceFile(paths.config, config);
    const letIn = leafKeysOf(config);
    if ([...leafKeysOf(previous)].every((key) => letIn.has(key))) reload();
    else {
      try {
        const cut = await reloadAndCutLeaves({ port, sysKeySeed: sysKeySeed ?? '', letIn, reload });
        logger.info({ leaves: cut }, 'leaf connections cut that are let in no more');
      } catch (error) {
        logger.error({ err: error }, 'nats-server could not be told to cut off a leaf');
        return false;
      }
    }
    rmSync(paths.reloading);
    logger.info({ pid: server.pid }, 'nats-server told of a new configuration');
    return true;
  }

  /** Process number of the server now; undefined between two of them. */
  get pid(): number | undefined {
    return this.#server !== undefined && isAlive(this.#server) ? this.#server.pid : undefined;
  }

  /** Ends the supervision and the server. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#change;
    await this.#watch;
    // Also one that is listed nowhere, for instance started in the instant before the abort.
    for (let server = findServer(this.#options.paths.config); server !== undefined;) {
      await endServer(server);
      server = findServer(this.#options.paths.config);
    }
    // Holds the process: the server's exit alone would not, and gantryd would leave without a word.
    await Promise.race([this.#reaped, sleep(1_000)]);
  }

  /** Takes over a server left by an earlier gantryd, when it is the one we would start. */
  async #adopt(): Promise<boolean> {
    const { paths, port, logger } = this.#options;
    const config = this.#config;
    const found = findServer(paths.config);
    if (found === undefined) return false;
    const previous = readIfPresent(paths.config);
    const whole = previous !== undefined && !existsSync(paths.reloading);
    if (whole && identityOf(previous) === identityOf(config) && (await listens(port, 2_000))) {
      // Another release of Gantry may grant other permissions: the server takes them without dropping a connection.
      if (previous === config || (await this.#reload(found, previous))) {
        logger.info({ pid: found.pid, changed: previous !== config }, 'nats-server adopted');
        this.#server = found;
        return true;
      }
    }
    logger.warn({ pid: found.pid }, 'nats-server left by an earlier gantryd does not fit and is replaced');
    await endServer(found);
    return false;
  }

  async #launch(): Promise<void> {
    const { paths, port, logger } = this.#options;
    const config = this.#config;
    if (readIfPresent(paths.config) !== config) replaceFile(paths.config, config);
    rmSync(paths.reloading, { force: true });
    if (await listens(port, 0)) throw portTaken(port);
    const child = spawn('nats-server', ['-c', paths.config], {
      detached: true,
      stdio: 'ignore',
      // A node's bus is small; the collector may work a little more to keep it so.
      env: { PATH: searchPath(), GOGC: '50', GOMEMLIMIT: '64MiB' },
    });
    child.unref();
    this.#reaped = new Promise((resolve) => child.once('exit', () => resolve()));
    const failed = new Promise<never>((_resolve, reject) => {
      child.once('error', (cause) => {
        reject(launchFailed(`nats-server cannot be started: ${cause.message}`, cause));
      });
      child.once('exit', (code, signal) => {
        reject(
          launchFailed(`nats-server ended at once (${signal ?? `exit code ${code}`}), see ${paths.log}`),
        );
      });
    });
    failed.catch(() => undefined);
    const up = listens(port, listenTimeoutMs).then((is) => {
      if (!is) throw launchFailed(`nats-server does not listen on 127.0.0.1:${port}, see ${paths.log}`);
    });
    await Promise.race([up, failed]);
    this.#server = findServer(paths.config);
    logger.info({ pid: this.#server?.pid, port }, 'nats-server started');
  }

  async #keepRunning(): Promise<void> {
    const { logger, onRestart } = this.#options;
    const { signal } = this.#stopping;
    let backoffMs = firstBackoffMs;
    while (!signal.aborted) {
      const startedAt = performance.now();
      while (this.pid !== undefined && !signal.aborted) await pause(watchIntervalMs, signal);
      if (signal.aborted) return;
      await this.#change;
      if (this.pid !== undefined) continue;
      backoffMs =
        performance.now() - startedAt > steadyAfterMs
          ? firstBackoffMs
          : Math.min(backoffMs * 2, longestBackoffMs);
      logger.warn({ pid: this.#server?.pid, backoffMs }, 'nats-server has gone');
      await pause(backoffMs, signal);
      await this.#change;
      if (signal.aborted) return;
      if (this.pid !== undefined) continue;
      try {
        await this.#launch();
        onRestart?.();
      } catch (error) {
        logger.error({ err: error }, 'nats-server could not be started again');
      }
    }
  }
}

async function endServer(server: ProcessIdentity): Promise<void> {
  signalProcess(server, 'SIGTERM');
  if (await waitUntilGone(server, 5_000)) return;
  signalProcess(server, 'SIGKILL');
  await waitUntilGone(server, 5_000);
}

/** True as soon as something takes connections there. With a time of 0 it is asked once. */
async function listens(port: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const connected = await new Promise<boolean>((resolve) => {
      const socket = connectTcp({ host: '127.0.0.1', port });
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (connected) return true;
    if (performance.now() >= deadline) return false;
    await sleep(10);
  }
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => undefined);
}

/** Daemons live in sbin, which a user's PATH may lack. */
function searchPath(): string {
  return `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin`;
}

function portTaken(port: number): GantryError {
  return new GantryError({
    code: 'failed_precondition',
    operation: 'start',
    object: `127.0.0.1:${port}`,
    message: `port ${port} of 127.0.0.1 is taken by another program; set nats.port to a free one`,
  });
}

function launchFailed(message: string, cause?: unknown): GantryError {
  return new GantryError({ code: 'unavailable', operation: 'start', object: 'nats-server', message, cause });
}

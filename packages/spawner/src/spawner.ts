import { setTimeout as delay } from 'node:timers/promises';
import { GantryError, type spawn } from '@gantry/protocol';
import type { Logger } from 'pino';
import { Adoption } from './adoption.js';
import { KeyedQueue } from '@gantry/bus';
import { runLateHooks } from './late-hooks.js';
import type { NativeSpawner } from './native.js';
import type { ExitNotice, LogLossNotice } from './notices.js';
import { RequestCompiler } from './request-compiler.js';
import {
  type AttemptRecord,
  type ProcessDirectory,
  RuntimeRecords,
  type StartRecord,
} from './runtime-records.js';
import { ShimLauncher } from './shim-launcher.js';
import { startError } from './start-error.js';
import { SupervisedProcess } from './supervised-process.js';

/** A container that was started, whether it still runs or not. */
export interface Container {
  readonly id: string;
  readonly attempt: number;
  readonly main: SupervisedProcess;
  readonly execs: Map<string, SupervisedProcess>;
}

export interface SpawnerOptions {
  readonly runDirectory: string;
  readonly native: NativeSpawner;
  readonly logger: Logger;
  readonly onExit: (notice: ExitNotice) => void;
  readonly onLogLoss: (notice: LogLossNotice) => void;
}

const SIGKILL = 9;

/** How long the start of the service waits for shims; those that are well answer within milliseconds. */
const ADOPTION_WAIT_MS = 2_000;

/** Exited execs that a container remembers; a health check makes thousands. */
const MOST_EXITED_EXECS = 64;

/** Starts, knows and forgets containers. Holds nothing that `<run_dir>/containers` and the shims do not know better. */
export class Spawner {
  readonly #options: SpawnerOptions;
  readonly #records: RuntimeRecords;
  readonly #launcher: ShimLauncher;
  readonly #compiler: RequestCompiler;
  readonly #adoption: Adoption;
  readonly #queue = new KeyedQueue();
  readonly #containers = new Map<string, Container>();
  #left = false;

  constructor(options: SpawnerOptions) {
    const { native, logger } = options;
    this.#options = options;
    this.#records = new RuntimeRecords(options.runDirectory);
    this.#launcher = new ShimLauncher(native);
    this.#compiler = new RequestCompiler(native, this.#records, logger);
    this.#adoption = new Adoption({ native, launcher: this.#launcher, records: this.#records, logger });
  }

  /**
   * Takes up what an earlier life left: reconnects to shims, reads exit records, undoes starts that never came to be. A shim that
   * does not answer holds up nobody: its container is known by its records, and told of.
   */
  async adopt(): Promise<void> {
    const waiting = new Set(this.#records.listContainers());
    const all = [...waiting].map(async (id) => {
      try {
        const container = await this.#queue.run(id, () => this.#adopt(id));
        await container?.main.answered;
      } catch (error) {
        this.#options.logger.error({ container: id, err: error }, 'container not adopted');
      }
      waiting.delete(id);
    });
    const patience = new AbortController();
    const { signal } = patience;
    await Promise.race([Promise.all(all), delay(ADOPTION_WAIT_MS, undefined, { signal }).catch(() => {})]);
    patience.abort();
    if (waiting.size > 0)
      this.#options.logger.warn(
        { containers: [...waiting] },
        'shims do not answer; they are waited for in the background',
      );
    const running = this.list().filter(({ main }) => main.exit === undefined).length;
    this.#options.logger.info({ running, exited: this.#containers.size - running }, 'containers adopted');
  }

  list(): readonly Container[] {
    return [...this.#containers.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  find(id: string): Container | undefined {
    return this.#containers.get(id);
  }

  async start(request: spawn.StartContainerRequest): Promise<Container> {
    const id = request.containerId;
    return this.#queue.run(id, () => this.#startAttempt(request));
  }

  async startExec(request: spawn.StartExecRequest): Promise<SupervisedProcess> {
    return this.#queue.run(`${request.containerId}/${request.execId}`, () => this.#startExec(request));
  }

  /** Forgets an exited container. Forgetting what is not known is done already. */
  async forget(id: string): Promise<void> {
    await this.#queue.run(id, async () => {
      const operation = 'DeleteContainer';
      const container = await this.#known(id);
      if (container !== undefined && container.main.exit === undefined)
        throw new GantryError({
          code: 'failed_precondition',
          operation,
          object: id,
          message: `container ${id} is running`,
        });
      if (container === undefined) this.#checkReleased(operation, id);
      this.#containers.delete(id);
      container?.main.leave();
      for (const exec of container?.execs.values() ?? []) exec.leave();
      this.#records.container(id).remove();
      if (container === undefined) return;
      for (const failed of await runLateHooks('poststop', container.main))
        this.#options.logger.warn({ container: id, reason: failed }, 'a hook failed');
    });
  }

  /** Lets go of all shims; containers and shims go on. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    for (const { main, execs } of this.#containers.values()) {
      main.leave();
      for (const exec of execs.values()) exec.leave();
    }
    this.#launcher.close();
  }

  // --- starting

  async #startAttempt(request: spawn.StartContainerRequest): Promise<Container> {
    const operation = 'StartContainer';
    const { containerId: id, attempt } = request;
    const known = await this.#known(id);
    if (known !== undefined) {
      if (known.attempt === attempt) return known;
      const reason =
        known.attempt > attempt
          ? `attempt ${attempt} of container ${id} is older than attempt ${known.attempt}`
          : known.main.exit === undefined
            ? `attempt ${known.attempt} of container ${id} is still running`
            : undefined;
      if (reason !== undefined)
        throw new GantryError({ code: 'failed_precondition', operation, object: id, message: reason });
      known.main.leave();
    }
    const { directory, plan, record, born } = this.#compiler.container(request);
    this.#checkReleased(operation, id);
    this.#containers.delete(id);
    // Recorded before use: a service killed from here on finds out what it had begun.
    directory.prepare(record);
    const result = await this.#launcher.launch(directory, plan, id, born);
    if (!result.ok) {
      await this.#adoption.discard(directory, record);
      throw startError(operation, id, result.failure);
    }
    const { started, connection } = result;
    const start = directory.readStart() ?? { ...started, startTicks: 0n };
    const main = SupervisedProcess.watch(
      this.#parts(directory, record, start, request.holdOutput),
      connection,
    );
    const container: Container = { id, attempt, main, execs: new Map() };
    this.#containers.set(id, container);
    this.#announce(container, '', main);
    const [failed] = await runLateHooks('poststart', main);
    if (failed === undefined) return container;
    // The container is stopped, and known as stopped until it is deleted (runtime-spec, "Lifecycle").
    this.#options.native.signalProcess(start.pid, start.startTicks, SIGKILL);
    await main.exited;
    throw new GantryError({ code: 'failed_precondition', operation, object: id, message: failed });
  }

  async #startExec(request: spawn.StartExecRequest): Promise<SupervisedProcess> {
    const operation = 'StartExec';
    const { containerId, execId } = request;
    const container = this.running(containerId, operation);
    const known = container.execs.get(execId);
    if (known !== undefined) return known;
    const { directory, plan, record, born } = this.#compiler.exec(request, container.main);
    directory.prepare(record);
    const result = await this.#launcher.launch(
      directory,
      plan,
      `${containerId.slice(0, 12)} exec ${execId.slice(0, 12)}`,
      born,
    );
    if (!result.ok) {
      directory.remove();
      throw startError(operation, execId, result.failure);
    }
    const { started, connection } = result;
    const start = directory.readStart() ?? { ...started, startTicks: 0n };
    const exec = SupervisedProcess.watch(
      this.#parts(directory, record, start, request.holdOutput),
      connection,
    );
    container.execs.set(execId, exec);
    this.#announce(container, execId, exec);
    this.#pruneExecs(container);
    return exec;
  }

  /** The container, when it runs. */
  running(id: string, operation: string): Container {
    const container = this.#containers.get(id);
    if (container === undefined)
      throw new GantryError({
        code: 'not_found',
        operation,
        object: id,
        message: `container ${id} is not known`,
      });
    if (container.main.exit !== undefined)
      throw new GantryError({
        code: 'failed_precondition',
        operation,
        object: id,
        message: `container ${id} is not running`,
      });
    return container;
  }

  #pruneExecs(container: Container): void {
    const ended = [...container.execs].filter(([, exec]) => exec.exit !== undefined);
    for (const [execId, exec] of ended.slice(0, Math.max(0, ended.length - MOST_EXITED_EXECS))) {
      container.execs.delete(execId);
      exec.leave();
      exec.directory.remove();
    }
  }

  /** Also one whose shim an earlier life was starting, and which did not answer when this one came up. */
  async #known(id: string): Promise<Container | undefined> {
    const known = this.#containers.get(id);
    if (known !== undefined || !this.#launcher.isHeld(this.#records.container(id))) return known;
    return this.#adopt(id);
  }

  /** A directory whose lock is held must stay, or a further start would make two. */
  #checkReleased(operation: string, id: string): void {
    if (!this.#launcher.isHeld(this.#records.container(id))) return;
    throw new GantryError({
      code: 'unavailable',
      operation,
      object: id,
      message: `an earlier start of container ${id} has not come to its end`,
    });
  }

  async #adopt(id: string): Promise<Container | undefined> {
    const found = await this.#adoption.container(id);
    if (found === undefined) return undefined;
    const container: Container = { id, attempt: found.main.attempt.attempt, ...found };
    this.#containers.set(id, container);
    this.#announce(container, '', found.main);
    for (const [execId, exec] of found.execs) this.#announce(container, execId, exec);
    return container;
  }

  #parts(directory: ProcessDirectory, attempt: AttemptRecord, start: StartRecord, held = false) {
    return { native: this.#options.native, launcher: this.#launcher, directory, attempt, start, held };
  }

  #announce(container: Container, execId: string, process: SupervisedProcess): void {
    process.onLogLoss((loss, errno) => this.#options.onLogLoss({ containerId: container.id, loss, errno }));
    void process.exited.then((exit) =>
      this.#options.onExit({ containerId: container.id, execId, attempt: container.attempt, exit }),
    );
  }
}

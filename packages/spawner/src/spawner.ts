import { parseLossless, type RuntimeProcess, type RuntimeSpec } from '@gantry/oci';
import { GantryError, type spawn } from '@gantry/protocol';
import type { Logger } from 'pino';
import { sortShimCgroups } from './birth-cgroup.js';
import { killCgroups } from './cgroup-kill.js';
import { compileContainer, type ContainerInput, type HostFacts } from './container-plan.js';
import { compileExec } from './exec-plan.js';
import type { Handle } from './handle.js';
import { readBootId, readHostFacts } from './host.js';
import { KeyedQueue } from './keyed-queue.js';
import { lateHooksOf, runLateHooks } from './late-hooks.js';
import { planNamespaces } from './namespace-plan.js';
import { isNativeError, type NativeSpawner } from './native.js';
import type { ExitNotice, LogLossNotice } from './notices.js';
import { SpecRefusal } from './refusal.js';
import {
  type AttemptRecord,
  type ProcessDirectory,
  RuntimeRecords,
  type StartRecord,
} from './runtime-records.js';
import { type CompiledSeccomp, type PlannedSeccomp, SeccompCompiler } from './seccomp.js';
import { ShimLauncher } from './shim-launcher.js';
import { checkProcessShape, checkSpecShape } from './spec-shape.js';
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

/** Exited execs that a container remembers; a health check makes thousands. */
const MOST_EXITED_EXECS = 64;

interface CompiledStart {
  readonly plan: Buffer;
  readonly record: AttemptRecord;
  /** The cgroup that the shim is born in. */
  readonly born: Handle | undefined;
}

function presentHandle(
  handle: { path: string; device: number; inode: number } | undefined,
): Handle | undefined {
  return handle === undefined || handle.path === '' ? undefined : handle;
}

function parseJson<T>(bytes: Uint8Array, what: string, operation: string, id: string): T {
  try {
    const value = parseLossless(Buffer.from(bytes).toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as T;
  } catch {
    // Told below.
  }
  throw new GantryError({
    code: 'invalid_argument',
    operation,
    object: id,
    message: `${what} of ${id} is not a JSON object`,
  });
}

/** Starts, knows and forgets containers. Holds nothing that `<run_dir>/containers` and the shims do not know better. */
export class Spawner {
  readonly #options: SpawnerOptions;
  readonly #records: RuntimeRecords;
  readonly #launcher: ShimLauncher;
  readonly #seccomp: SeccompCompiler;
  readonly #host: HostFacts;
  readonly #bootId = readBootId();
  readonly #queue = new KeyedQueue();
  readonly #containers = new Map<string, Container>();
  #left = false;

  constructor(options: SpawnerOptions) {
    this.#options = options;
    this.#records = new RuntimeRecords(options.runDirectory);
    this.#launcher = new ShimLauncher(options.native);
    this.#seccomp = new SeccompCompiler(options.native);
    this.#host = readHostFacts();
  }

  /** Takes up what an earlier life left: reconnects to shims, reads exit records, undoes starts that never came to be. */
  async adopt(): Promise<void> {
    await Promise.all(
      this.#records.listContainers().map((id) => this.#queue.run(id, () => this.#adoptContainer(id))),
    );
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
      const container = this.#containers.get(id);
      if (container !== undefined && container.main.exit === undefined)
        throw new GantryError({
          code: 'failed_precondition',
          operation: 'DeleteContainer',
          object: id,
          message: `container ${id} is running`,
        });
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
    const known = this.#containers.get(id);
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
    const { plan, record, born } = this.#compile(request);
    const directory = this.#records.container(id);
    if (this.#launcher.isHeld(directory))
      throw new GantryError({
        code: 'unavailable',
        operation,
        object: id,
        message: `an earlier start of container ${id} has not come to its end`,
      });
    this.#containers.delete(id);
    // Recorded before use: a service killed from here on finds out what it had begun.
    directory.prepare(record);
    const result = await this.#launcher.launch(directory, plan, id, born);
    if (!result.ok) {
      await this.#discard(directory, record);
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

  #compile(request: spawn.StartContainerRequest): CompiledStart {
    const operation = 'StartContainer';
    const { containerId: id, attempt, rootfs } = request;
    const { born, joined } = sortShimCgroups(request.shimCgroups);
    const spec = parseJson<RuntimeSpec>(request.runtimeSpecJson, 'runtime spec', operation, id);
    try {
      checkSpecShape(spec);
      const seccomp =
        spec.linux?.seccomp === undefined ? undefined : this.#compileSeccomp(spec.linux.seccomp);
      const input: ContainerInput = {
        spec,
        lowerdirs: rootfs?.lowerdirs ?? [],
        writable: presentHandle(rootfs?.writable),
        userNamespace: presentHandle(request.userNamespace),
        networkNamespace: presentHandle(request.networkNamespace),
        cgroups: request.cgroups,
        directory: this.#records.container(id).path,
        state: {
          ociVersion: spec.ociVersion,
          id,
          bundle: this.#records.container(id).path,
          ...(spec.annotations === undefined ? {} : { annotations: spec.annotations }),
        },
        supervision: {
          kind: 'shim',
          shimCgroups: joined,
          log: request.log,
          openStdin: request.openStdin,
          stdinOnce: request.stdinOnce,
          holdOutput: request.holdOutput,
          attempt,
        },
        seccomp,
        warn: (warning) => this.#warn(operation, id, warning),
      };
      const plan = compileContainer(input, this.#host);
      return { plan, born, record: this.#recordOf(input, attempt, request.shimCgroups, seccomp) };
    } catch (error) {
      throw this.#refusal(operation, id, error);
    }
  }

  #compileSeccomp(profile: NonNullable<NonNullable<RuntimeSpec['linux']>['seccomp']>): CompiledSeccomp {
    const compiled = this.#seccomp.compile(profile);
    this.#records.keepFilter(compiled.digest, compiled.program);
    return compiled;
  }

  #recordedSeccomp(attempt: AttemptRecord): PlannedSeccomp {
    return {
      program: this.#records.readFilter(attempt.seccomp),
      flags: attempt.seccomp_flags ?? 0,
      listener: attempt.seccomp_listener,
    };
  }

  #recordOf(
    input: ContainerInput,
    attempt: number,
    shimCgroups: readonly Handle[],
    seccomp: CompiledSeccomp | undefined,
  ): AttemptRecord {
    const { personality, memoryPolicy } = input.spec.linux ?? {};
    const { own } = planNamespaces(input.spec, {
      user: input.userNamespace !== undefined,
      network: input.networkNamespace !== undefined,
    });
    return {
      version: 1,
      attempt,
      boot_id: this.#bootId,
      cgroups: input.cgroups,
      shim_cgroups: shimCgroups,
      namespaces: String(own),
      seccomp: seccomp?.digest ?? '',
      seccomp_allowed_syscalls: seccomp?.allowedSyscalls ?? 0,
      seccomp_flags: seccomp?.flags ?? 0,
      ...(seccomp?.listener === undefined ? {} : { seccomp_listener: seccomp.listener }),
      no_new_privileges: input.spec.process?.noNewPrivileges === true,
      ...lateHooksOf(input.spec, input.state),
      execution_domain: {
        ...(personality === undefined ? {} : { personality }),
        ...(memoryPolicy === undefined ? {} : { memoryPolicy }),
      },
    };
  }

  #warn(operation: string, id: string, warning: string): void {
    this.#options.logger.warn({ operation, container: id, warning }, 'part of a spec is left out');
  }

  #refusal(operation: string, id: string, error: unknown): unknown {
    if (isNativeError(error)) return startError(operation, id, error);
    if (!(error instanceof SpecRefusal)) return error;
    return new GantryError({
      code: 'invalid_argument',
      operation,
      object: id,
      message: error.message,
      cause: error,
    });
  }

  async #startExec(request: spawn.StartExecRequest): Promise<SupervisedProcess> {
    const operation = 'StartExec';
    const { containerId, execId } = request;
    const container = this.running(containerId, operation);
    const known = container.execs.get(execId);
    if (known !== undefined) return known;
    const { attempt } = container.main;
    const process = parseJson<RuntimeProcess>(request.processJson, 'process', operation, execId);
    const directory = this.#records.exec(containerId, execId);
    let plan: Buffer;
    const { born, joined } = sortShimCgroups(attempt.shim_cgroups);
    try {
      checkProcessShape(process);
      plan = compileExec({
        process,
        supervision: {
          kind: 'shim',
          shimCgroups: joined,
          log: undefined,
          openStdin: request.openStdin,
          stdinOnce: true,
          holdOutput: request.holdOutput,
          attempt: attempt.attempt,
        },
        directory: directory.path,
        state: { ociVersion: '1.3.0', id: containerId, bundle: container.main.directory.path },
        target: {
          pid: container.main.start.pid,
          startTicks: container.main.start.startTicks,
          namespaces: BigInt(attempt.namespaces),
        },
        cgroups: attempt.cgroups,
        seccomp: attempt.seccomp === '' ? undefined : this.#recordedSeccomp(attempt),
        noNewPrivileges: attempt.no_new_privileges,
        domain: attempt.execution_domain,
        host: this.#host,
        warn: (warning) => this.#warn(operation, containerId, warning),
      });
    } catch (error) {
      throw this.#refusal(operation, execId, error);
    }
    // No cgroups of its own: losing an exec's shim must not end the container.
    const record: AttemptRecord = { ...attempt, cgroups: [] };
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

  // --- adopting

  async #adoptContainer(id: string): Promise<void> {
    const directory = this.#records.container(id);
    const found = await this.#adoptProcess(directory);
    if (found === undefined) {
      // Begun, but no process ever ran: what there was has died with its shim.
      await this.#discard(directory, directory.readAttempt());
      return;
    }
    const container: Container = { id, attempt: found.attempt.attempt, main: found, execs: new Map() };
    this.#containers.set(id, container);
    this.#announce(container, '', found);
    for (const execId of this.#records.listExecs(id)) {
      const execDirectory = this.#records.exec(id, execId);
      const exec = await this.#adoptProcess(execDirectory);
      if (exec === undefined) {
        execDirectory.remove();
        continue;
      }
      container.execs.set(execId, exec);
      this.#announce(container, execId, exec);
    }
    this.#options.logger.info(
      { container: id, pid: found.start.pid, running: found.exit === undefined },
      'container adopted',
    );
  }

  /** Removes what a start left, unless its shim still lives: the lock must stay, or a further start would make two. */
  async #discard(directory: ProcessDirectory, attempt: AttemptRecord | undefined): Promise<void> {
    // A shim killed before it recorded the start may have left a process that cleared its parent death signal.
    if (attempt?.boot_id === this.#bootId && !this.#launcher.isHeld(directory))
      await killCgroups(
        this.#options.native,
        attempt.cgroups.map(({ path }) => path),
      );
    if (await this.#launcher.untilReleased(directory)) directory.remove();
    else this.#options.logger.error({ path: directory.path }, 'a killed shim does not end');
  }

  async #adoptProcess(directory: ProcessDirectory): Promise<SupervisedProcess | undefined> {
    const attempt = directory.readAttempt();
    if (attempt === undefined || attempt.boot_id !== this.#bootId) return undefined;
    if (directory.readExit() === undefined) {
      const alive = await this.#launcher.adopt(directory);
      if (alive !== undefined) {
        const start = directory.readStart() ?? { ...alive.started, startTicks: 0n };
        return SupervisedProcess.watch(this.#parts(directory, attempt, start), alive.connection);
      }
    }
    const start = directory.readStart();
    if (start === undefined) return undefined;
    const ended = SupervisedProcess.ended(this.#parts(directory, attempt, start));
    await ended.exited;
    return ended;
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

import { parseLossless, type RuntimeProcess, type RuntimeSpec } from '@gantry/oci';
import { GantryError, type spawn } from '@gantry/protocol';
import type { Logger } from 'pino';
import { sortShimCgroups } from './birth-cgroup.js';
import { compileContainer, type ContainerInput, type HostFacts } from './container-plan.js';
import { compileExec } from './exec-plan.js';
import type { Handle } from './handle.js';
import { readBootId, readHostFacts } from './host.js';
import { lateHooksOf } from './late-hooks.js';
import { planNamespaces } from './namespace-plan.js';
import { isNativeError, type NativeSpawner } from './native.js';
import { SpecRefusal } from './refusal.js';
import type { AttemptRecord, ProcessDirectory, RuntimeRecords } from './runtime-records.js';
import { type CompiledSeccomp, type PlannedSeccomp, SeccompCompiler } from './seccomp.js';
import { checkProcessShape, checkSpecShape } from './spec-shape.js';
import { startError } from './start-error.js';
import type { SupervisedProcess } from './supervised-process.js';

/** What a request comes to: what a shim is told, and what is recorded before there is one. */
export interface CompiledStart {
  readonly directory: ProcessDirectory;
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

function refusal(operation: string, id: string, error: unknown): unknown {
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

/** Requests as they come in, made into plans; changes nothing but the store of compiled filters. */
export class RequestCompiler {
  readonly #records: RuntimeRecords;
  readonly #logger: Logger;
  readonly #seccomp: SeccompCompiler;
  readonly #host: HostFacts = readHostFacts();
  readonly #bootId = readBootId();

  constructor(native: NativeSpawner, records: RuntimeRecords, logger: Logger) {
    this.#records = records;
    this.#logger = logger;
    this.#seccomp = new SeccompCompiler(native);
  }

  container(request: spawn.StartContainerRequest): CompiledStart {
    const operation = 'StartContainer';
    const { containerId: id, attempt, rootfs } = request;
    const { born, joined } = sortShimCgroups(request.shimCgroups);
    const spec = parseJson<RuntimeSpec>(request.runtimeSpecJson, 'runtime spec', operation, id);
    const directory = this.#records.container(id);
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
        directory: directory.path,
        state: {
          ociVersion: spec.ociVersion,
          id,
          bundle: directory.path,
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
      return { directory, plan, born, record: this.#recordOf(input, attempt, request.shimCgroups, seccomp) };
    } catch (error) {
      throw refusal(operation, id, error);
    }
  }

  /** A further process beside `main`. */
  exec(request: spawn.StartExecRequest, main: SupervisedProcess): CompiledStart {
    const operation = 'StartExec';
    const { containerId, execId } = request;
    const { attempt } = main;
    const process = parseJson<RuntimeProcess>(request.processJson, 'process', operation, execId);
    const directory = this.#records.exec(containerId, execId);
    const { born, joined } = sortShimCgroups(attempt.shim_cgroups);
    try {
      checkProcessShape(process);
      const plan = compileExec({
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
        state: { ociVersion: '1.3.0', id: containerId, bundle: main.directory.path },
        target: {
          pid: main.start.pid,
          startTicks: main.start.startTicks,
          namespaces: BigInt(attempt.namespaces),
        },
        cgroups: attempt.cgroups,
        seccomp: attempt.seccomp === '' ? undefined : this.#recordedSeccomp(attempt),
        noNewPrivileges: attempt.no_new_privileges,
        domain: attempt.execution_domain,
        host: this.#host,
        warn: (warning) => this.#warn(operation, containerId, warning),
      });
      // No cgroups of its own: losing an exec's shim must not end the container.
      return { directory, plan, born, record: { ...attempt, cgroups: [] } };
    } catch (error) {
      throw refusal(operation, execId, error);
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
    this.#logger.warn({ operation, container: id, warning }, 'part of a spec is left out');
  }
}

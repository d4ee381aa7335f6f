import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Handle } from './handle.js';
import type { LateHooks } from './late-hooks.js';
import type { SeccompListener } from './seccomp.js';
import type { ExecutionDomain } from './scheduling-plan.js';
import type { ExitFacts } from './shim-protocol.js';

/** Written by the spawner before the shim exists: what was tried, and how to undo it. */
export interface AttemptRecord {
  readonly version: 1;
  readonly attempt: number;
  readonly boot_id: string;
  readonly cgroups: readonly Handle[];
  readonly shim_cgroups: readonly Handle[];
  /** Clone flags of the namespaces that are not the host's, as decimal. */
  readonly namespaces: string;
  /** Digest of the compiled filter; empty when there is none. */
  readonly seccomp: string;
  readonly seccomp_allowed_syscalls: number;
  /** Flags of seccomp(2); absent in records of an earlier release, which had none. */
  readonly seccomp_flags?: number;
  readonly seccomp_listener?: SeccompListener;
  readonly no_new_privileges: boolean;
  /** Absent in records of older releases. */
  readonly execution_domain?: ExecutionDomain;
  /** Absent when there are none. */
  readonly late_hooks?: LateHooks;
}

/** Written by the shim once the process runs. */
export interface StartRecord {
  readonly pid: number;
  readonly shimPid: number;
  readonly startTicks: bigint;
  readonly startedUnixNanos: bigint;
}

/** Written by the shim when the process has ended; by the spawner when the shim was lost. */
export interface ExitRecord extends ExitFacts {
  readonly lost: boolean;
}

const ID = /^[0-9a-f]{64}$/;

/** Container and exec ids become path parts. */
export function isId(value: string): boolean {
  return ID.test(value);
}

function readJson(path: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  } catch {
    // Absent or torn: both mean that what it tells of did not happen.
    return undefined;
  }
}

function writeAside(path: string, content: string | Uint8Array): void {
  writeFileSync(`${path}.new`, content, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The files of one process: a container's first, or an exec's. On tmpfs, so nothing is synced. */
export class ProcessDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Empties the directory of an older attempt and leaves the lock file, which may be held. */
  prepare(record: AttemptRecord): void {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.path))
      if (name !== 'lock') rmSync(join(this.path, name), { recursive: true, force: true });
    writeAside(join(this.path, 'attempt.json'), JSON.stringify(record));
  }

  get lockPath(): string {
    return join(this.path, 'lock');
  }

  readAttempt(): AttemptRecord | undefined {
    const record = readJson(join(this.path, 'attempt.json'));
    return record?.version === 1 ? (record as unknown as AttemptRecord) : undefined;
  }

  readStart(): StartRecord | undefined {
    const record = readJson(join(this.path, 'start.json'));
    if (record === undefined) return undefined;
    return {
      pid: Number(record.pid),
      shimPid: Number(record.shim_pid),
      startTicks: BigInt(String(record.pid_start_ticks ?? '0')),
      startedUnixNanos: BigInt(String(record.started_unix_nanos ?? '0')),
    };
  }

  readExit(): ExitRecord | undefined {
    const record = readJson(join(this.path, 'exit.json'));
    if (record === undefined) return undefined;
    return {
      exitCode: Number(record.exit_code),
      signal: Number(record.signal),
      exitedUnixNanos: BigInt(String(record.exited_unix_nanos ?? '0')),
      oomKillCount: Number(record.oom_kill_count ?? 0),
      logLoss: {
        records: Number(record.log_lost_records ?? 0),
        bytes: Number(record.log_lost_bytes ?? 0),
      },
      lost: record.lost === true,
    };
  }

  /** Only for a process whose shim cannot write it any more. */
  writeLost(attempt: number, exit: ExitRecord): void {
    const record = {
      version: 1,
      attempt,
      exit_code: exit.exitCode,
      signal: exit.signal,
      exited_unix_nanos: String(exit.exitedUnixNanos),
      oom_kill_count: exit.oomKillCount,
      log_lost_records: String(exit.logLoss.records),
      log_lost_bytes: String(exit.logLoss.bytes),
      lost: true,
    };
    writeAside(join(this.path, 'exit.json'), JSON.stringify(record));
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** `<run_dir>/containers` and `<run_dir>/seccomp`. */
export class RuntimeRecords {
  readonly #containers: string;
  readonly #filters: string;
  readonly #written = new Set<string>();

  constructor(runDirectory: string) {
    this.#containers = join(runDirectory, 'containers');
    this.#filters = join(runDirectory, 'seccomp');
    mkdirSync(this.#containers, { recursive: true, mode: 0o700 });
    mkdirSync(this.#filters, { recursive: true, mode: 0o700 });
  }

  container(id: string): ProcessDirectory {
    return new ProcessDirectory(join(this.#containers, id));
  }

  exec(containerId: string, execId: string): ProcessDirectory {
    return new ProcessDirectory(join(this.#containers, containerId, 'exec', execId));
  }

  listContainers(): readonly string[] {
    return readdirSync(this.#containers).filter(isId);
  }

  listExecs(containerId: string): readonly string[] {
    try {
      return readdirSync(join(this.#containers, containerId, 'exec')).filter(isId);
    } catch {
      return [];
    }
  }

  /** Compiled filters are kept for execs of after a restart; the same few serve all containers. */
  keepFilter(digest: string, program: Uint8Array): void {
    if (this.#written.has(digest)) return;
    writeAside(join(this.#filters, digest), program);
    this.#written.add(digest);
  }

  readFilter(digest: string): Uint8Array {
    return readFileSync(join(this.#filters, digest));
  }
}

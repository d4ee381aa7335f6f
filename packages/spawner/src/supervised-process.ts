import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { killCgroups } from './cgroup-kill.js';
import type { NativeSpawner } from './native.js';
import type { AttemptRecord, ExitRecord, ProcessDirectory, StartRecord } from './runtime-records.js';
import type { ShimLauncher } from './shim-launcher.js';
import { ShimConnection } from './shim-connection.js';
import { encodeFrame, encodeResize, frameKind, type LogLoss, NO_LOG_LOSS } from './shim-protocol.js';

const SIGKILL = 9;
const LOST_EXIT_CODE = 137;
const LOCK_DELAYS_MS = [1, 5, 20, 50, 200];
const RECONNECT_DELAY_MS = 200;

export interface ProcessParts {
  readonly native: NativeSpawner;
  readonly launcher: ShimLauncher;
  readonly directory: ProcessDirectory;
  readonly attempt: AttemptRecord;
  readonly start: StartRecord;
  /** Its output waits for the first client. */
  readonly held: boolean;
}

/**
 * One process with a shim: a container's first, or an exec.
 *
 *     running ── EXIT frame ──────────────────────────────> exited
 *        ├────── connection gone, lock held: connects again
 *        └────── shim gone ── exit record there? ── yes ──> exited
 *                                  └── no ── kill ──> exited, lost
 */
export class SupervisedProcess {
  readonly directory: ProcessDirectory;
  readonly attempt: AttemptRecord;
  readonly start: StartRecord;
  /** Settled with the end of the process. */
  readonly exited: Promise<ExitRecord>;
  /** Settled once its shim has said something, or the process has ended. */
  readonly answered: Promise<void>;
  readonly #native: NativeSpawner;
  readonly #launcher: ShimLauncher;
  #exit: ExitRecord | undefined;
  #connection: ShimConnection | undefined;
  #logLoss: LogLoss = NO_LOG_LOSS;
  #reportLogLoss: (more: LogLoss, errno: number) => void = () => {};
  #left = false;
  #held: boolean;
  #resolveExited: (exit: ExitRecord) => void = () => {};
  #resolveAnswered: () => void = () => {};

  private constructor(parts: ProcessParts) {
    this.directory = parts.directory;
    this.attempt = parts.attempt;
    this.start = parts.start;
    this.#held = parts.held;
    this.#native = parts.native;
    this.#launcher = parts.launcher;
    this.exited = new Promise((resolve) => (this.#resolveExited = resolve));
    this.answered = new Promise((resolve) => (this.#resolveAnswered = resolve));
  }

  /** A process whose shim is connected. */
  static watch(parts: ProcessParts, connection: ShimConnection): SupervisedProcess {
    const process = new SupervisedProcess(parts);
    process.#follow(connection);
    return process;
  }

  /** A process whose shim lives, as its lock says, and is connected to as soon as it lets us. */
  static resume(parts: ProcessParts): SupervisedProcess {
    const process = new SupervisedProcess(parts);
    void process.#reconnect();
    return process;
  }

  /** A process that ended while nobody watched, or was lost. */
  static ended(parts: ProcessParts): SupervisedProcess {
    const process = new SupervisedProcess(parts);
    void process.#connectionGone();
    return process;
  }

  get exit(): ExitRecord | undefined {
    return this.#exit;
  }

  /**
   * Calls `report` with what was lost of the log from the start until now, then with every further loss. The errno is 0 when only
   * the end told of it.
   */
  onLogLoss(report: (more: LogLoss, errno: number) => void): void {
    this.#reportLogLoss = report;
    if (this.#logLoss.records > 0) report(this.#logLoss, 0);
  }

  /** True for the first client of a process whose output was held for it: none of that output may be lost. */
  takeHold(): boolean {
    const held = this.#held;
    this.#held = false;
    return held;
  }

  resize(rows: number, columns: number): void {
    this.#connection?.send(encodeResize(rows, columns));
  }

  /** False when the process is gone. */
  signal(signal: number): boolean {
    return (
      this.#exit === undefined && this.#native.signalProcess(this.start.pid, this.start.startTicks, signal)
    );
  }

  /** Stops watching; the process and its shim go on. */
  leave(): void {
    this.#left = true;
    this.#connection?.close();
  }

  #end(exit: ExitRecord): void {
    if (this.#exit !== undefined) return;
    this.#exit = Object.freeze(exit);
    this.#seeLogLoss(exit.logLoss, 0);
    this.#resolveExited(this.#exit);
    this.#resolveAnswered();
  }

  #seeLogLoss({ records, bytes }: LogLoss, errno: number): void {
    const known = this.#logLoss;
    if (records <= known.records) return;
    this.#logLoss = { records, bytes };
    this.#reportLogLoss({ records: records - known.records, bytes: bytes - known.bytes }, errno);
  }

  #follow(connection: ShimConnection): void {
    this.#connection = connection;
    connection.listen((message) => {
      this.#resolveAnswered();
      if (message.kind === 'exit') this.#end({ ...message.exit, lost: false });
      else if (message.kind === 'logLost') this.#seeLogLoss(message.loss, message.errno);
    });
    connection.send(encodeFrame(frameKind.watch));
    void connection.closed.then(() => this.#connectionGone());
  }

  async #connectionGone(): Promise<void> {
    // A dying shim closes its socket a moment before it lets go of its lock.
    for (const wait of LOCK_DELAYS_MS) {
      if (this.#settleFromRecord()) return;
      if (!this.#launcher.isHeld(this.directory)) return this.#shimGone();
      await delay(wait);
    }
    await this.#reconnect();
  }

  /** As long as the lock is held the shim lives and holds the process, however long it is silent. */
  async #reconnect(): Promise<void> {
    for (;;) {
      const connection = await ShimConnection.open(this.directory.path).catch(() => undefined);
      if (this.#left) return connection?.close();
      if (connection !== undefined) return this.#follow(connection);
      if (this.#settleFromRecord()) return;
      if (!this.#launcher.isHeld(this.directory)) return this.#shimGone();
      await delay(RECONNECT_DELAY_MS);
    }
  }

  /** True when nothing is left to find out: the end is known, or the next life of the service will see to it. */
  #settleFromRecord(): boolean {
    if (this.#exit !== undefined || this.#left) return true;
    const recorded = this.directory.readExit();
    if (recorded !== undefined) this.#end(recorded);
    return recorded !== undefined;
  }

  async #shimGone(): Promise<void> {
    // It may have written its record between the last look and its end.
    if (this.#settleFromRecord()) return;
    await this.#kill();
    const lost: ExitRecord = {
      exitCode: LOST_EXIT_CODE,
      signal: SIGKILL,
      exitedUnixNanos: BigInt(Date.now()) * 1_000_000n,
      oomKillCount: 0,
      logLoss: this.#logLoss,
      lost: true,
    };
    if (existsSync(this.directory.path)) this.directory.writeLost(this.attempt.attempt, lost);
    this.#end(lost);
  }

  /** Nobody holds its output or its exit status any more: it must not go on. The kernel has killed it already, unless it
   * changed its user or runs a set-user-id program, which clears the parent death signal. */
  async #kill(): Promise<void> {
    this.#native.signalProcess(this.start.pid, this.start.startTicks, SIGKILL);
    await killCgroups(
      this.#native,
      this.attempt.cgroups.map(({ path }) => path),
    );
  }
}

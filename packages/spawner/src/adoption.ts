import type { Logger } from 'pino';
import { killCgroups } from './cgroup-kill.js';
import { readBootId } from './host.js';
import type { NativeSpawner } from './native.js';
import type { AttemptRecord, ProcessDirectory, RuntimeRecords, StartRecord } from './runtime-records.js';
import type { ShimLauncher } from './shim-launcher.js';
import { SupervisedProcess } from './supervised-process.js';

/** A container of an earlier life. */
export interface AdoptedContainer {
  readonly main: SupervisedProcess;
  readonly execs: Map<string, SupervisedProcess>;
}

export interface AdoptionParts {
  readonly native: NativeSpawner;
  readonly launcher: ShimLauncher;
  readonly records: RuntimeRecords;
  readonly logger: Logger;
}

/**
 * Takes up what an earlier life left in `<run_dir>/containers`, by its records and locks:
 *
 *     exit.json ───────────────────────────────────> exited
 *     lock held ── start.json ── yes ──────────────> running; its shim is connected to meanwhile
 *         │            └── no: it is being started ─> waits for the shim's word
 *         └── free ─── start.json ── yes ──────────> lost
 *                          └── no: it never ran ───> removed
 */
export class Adoption {
  readonly #parts: AdoptionParts;
  readonly #bootId = readBootId();

  constructor(parts: AdoptionParts) {
    this.#parts = parts;
  }

  /** Undefined when no process ever ran: what there was of it is removed then. */
  async container(id: string): Promise<AdoptedContainer | undefined> {
    const { records } = this.#parts;
    const directory = records.container(id);
    const main = await this.#process(directory);
    if (main === undefined) {
      await this.discard(directory, directory.readAttempt());
      return undefined;
    }
    const execs = new Map<string, SupervisedProcess>();
    for (const execId of records.listExecs(id)) {
      const execDirectory = records.exec(id, execId);
      const exec = await this.#process(execDirectory);
      if (exec === undefined) execDirectory.remove();
      else execs.set(execId, exec);
    }
    return { main, execs };
  }

  /** Removes what a start left, unless its shim still lives: the lock must stay, or a further start would make two. */
  async discard(directory: ProcessDirectory, attempt: AttemptRecord | undefined): Promise<void> {
    const { native, launcher, logger } = this.#parts;
    // A shim killed before it recorded the start may have left a process that cleared its parent death signal.
    if (attempt?.boot_id === this.#bootId && !launcher.isHeld(directory))
      await killCgroups(
        native,
        attempt.cgroups.map(({ path }) => path),
      );
    if (await launcher.untilReleased(directory)) directory.remove();
    else logger.error({ path: directory.path }, 'a killed shim does not end');
  }

  async #process(directory: ProcessDirectory): Promise<SupervisedProcess | undefined> {
    const { native, launcher } = this.#parts;
    const attempt = directory.readAttempt();
    if (attempt === undefined || attempt.boot_id !== this.#bootId) return undefined;
    const parts = (start: StartRecord) => ({ native, launcher, directory, attempt, start, held: false });
    if (directory.readExit() === undefined && launcher.isHeld(directory)) {
      const started = directory.readStart();
      if (started !== undefined) return SupervisedProcess.resume(parts(started));
      const alive = await launcher.adopt(directory);
      if (alive !== undefined) {
        const start = directory.readStart() ?? { ...alive.started, startTicks: 0n };
        return SupervisedProcess.watch(parts(start), alive.connection);
      }
    }
    const start = directory.readStart();
    if (start === undefined) return undefined;
    const ended = SupervisedProcess.ended(parts(start));
    await ended.exited;
    return ended;
  }
}

import { cgroup, image, isGantryError, network, spawn } from '@gantry/protocol';
import type { AgentContext } from './context.js';
import type { ObservedExit } from './decide.js';
import { shortId } from './record.js';
import { reasonOf } from './refuse.js';
import { forgetProcess, releaseAttempt, type RootfsDirectories } from './start-attempt.js';

const SIGKILL = 9;

/** What the four services hold for one container, and how it is asked, signalled and given back. Keeps no state but what saves calls. */
export class ContainerHoldings {
  readonly #context: AgentContext;
  readonly #id: string;
  /** False once everything of the latest attempt is surely given back. */
  #mayHold = true;
  /** The answer of the latest PrepareRootfs: its directories live as long as the container. */
  rootfs: RootfsDirectories | undefined;

  constructor(context: AgentContext, id: string) {
    this.#context = context;
    this.#id = id;
  }

  /** A new attempt begins to take things. */
  beginAttempt(): void {
    this.#mayHold = true;
  }

  /** Gives back what an ended attempt held; answers what could not be. */
  async release(): Promise<readonly unknown[]> {
    if (!this.#mayHold) return [];
    // The exit is recorded: the spawner, from whom a new agent would learn it, may forget it at the same time.
    const [released, forgotten] = await Promise.all([
      releaseAttempt(this.#context, this.#id),
      forgetProcess(this.#context, this.#id).then(
        () => [],
        (error: unknown) => [error],
      ),
    ]);
    const errors = [...released, ...forgotten];
    this.#mayHold = errors.length > 0;
    for (const error of errors)
      this.#context.logger.warn(
        { container: this.#id, reason: reasonOf(error) },
        'release failed, will be tried again',
      );
    return errors;
  }

  async releaseRootfs(): Promise<readonly unknown[]> {
    try {
      await this.#context.bus.call(image.ImageStore.methods.ReleaseRootfs, { containerId: this.#id });
      return [];
    } catch (error) {
      return [error];
    }
  }

  /** To the first process; that it has just ended is fine. */
  async signal(signal: number): Promise<void> {
    try {
      await this.#context.bus.call(spawn.Spawner.methods.SignalContainer, { containerId: this.#id, signal });
    } catch (error) {
      if (!isGantryError(error, 'not_found') && !isGantryError(error, 'failed_precondition')) throw error;
    }
  }

  /** SIGKILL for every process inside. */
  async killAll(): Promise<void> {
    const [byCgroup, bySignal] = await Promise.allSettled([
      this.#context.bus.call(cgroup.CgroupSupervisor.methods.KillCgroup, { containerId: this.#id }),
      this.signal(SIGKILL),
    ]);
    if (byCgroup.status === 'rejected' && bySignal.status === 'rejected') throw byCgroup.reason;
  }

  async freeze(): Promise<void> {
    await this.#context.bus.call(cgroup.CgroupSupervisor.methods.FreezeCgroup, { containerId: this.#id });
  }

  async thaw(): Promise<void> {
    await this.#context.bus.call(cgroup.CgroupSupervisor.methods.ThawCgroup, { containerId: this.#id });
  }

  /** The name by which others find it, and by which it is measured. */
  async rename(name: string): Promise<void> {
    const containerId = this.#id;
    const names = [name, shortId(containerId)];
    await this.#context.bus.call(network.NetworkManager.methods.SetNames, { containerId, names });
    await this.#context.bus.call(cgroup.CgroupSupervisor.methods.UpdateCgroup, { containerId, name });
  }

  /** The exit of this attempt, when the spawner knows of one. */
  async askExit(attempt: number): Promise<ObservedExit | undefined> {
    const found = await this.#context.bus
      .call(spawn.Spawner.methods.GetContainer, { containerId: this.#id })
      .then(({ container }) => container)
      .catch(() => undefined);
    if (found?.attempt !== attempt || found.status !== 'exited' || found.exit === undefined) return undefined;
    return observedExit(found.exit);
  }
}

/** An exit as the spawner tells it. */
export function observedExit(exit: spawn.ExitStatus): ObservedExit {
  return {
    exitCode: exit.exitCode,
    oomKilled: exit.oomKillCount > 0,
    error: exit.lost ? 'the shim was lost, and with it the exit code' : '',
    finishedUnixNanos: exit.exitedUnixNanos || Date.now() * 1e6,
  };
}

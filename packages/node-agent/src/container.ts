import { cgroup, image, isGantryError, network, spawn } from '@gantry/protocol';
import { signalName } from '@gantry/oci';
import { Actor } from './actor.js';
import type { AgentContext } from './context.js';
import type { ObservedExit } from './decide.js';
import type { HealthMonitor } from './health.js';
import { isActive, transition, type Lifecycle, type LifecycleEvent } from './lifecycle.js';
import type { ContainerRecord } from './record.js';
import { reasonOf, refusal } from './refuse.js';
import {
  forgetProcess,
  releaseAttempt,
  startAttempt,
  type StartOptions,
  type TerminalSize,
} from './start-attempt.js';

const SIGKILL = 9;
const KILL_WAIT_MS = 10_000;
/** How often a waiting stop asks the spawner itself, in case the event was lost. */
const ASK_INTERVAL_MS = 1000;

/** What ends a wait. */
export interface ContainerEnd {
  readonly exitCode: number;
  readonly error: string;
}

export type WaitCondition = 'not-running' | 'next-exit' | 'removed';

interface Waiter {
  readonly condition: WaitCondition;
  readonly resolve: (end: ContainerEnd) => void;
}

/** What a container needs of those around it. */
export interface ContainerSurroundings {
  readonly start: Omit<StartOptions, 'holdOutput' | 'terminalSize' | 'recorded'>;
  /** The record is gone: forget the container. */
  readonly removed: (container: Container) => void;
  readonly monitor: (container: Container) => HealthMonitor | undefined;
  /** Another container by id, for sandboxes shared. */
  readonly find: (id: string) => Container | undefined;
}

/**
 * One container: its record, the queue in which everything that changes it happens, and the timers of its policy.
 * Methods named `...Now` run inside the queue.
 */
export class Container {
  readonly id: string;
  readonly actor = new Actor();
  health: HealthMonitor | undefined;
  /** Clients that wait for the next start to attach. */
  pendingAttachments = 0;
  /** The terminal of the latest of them. */
  terminalSize: TerminalSize | undefined;
  readonly #context: AgentContext;
  readonly #around: ContainerSurroundings;
  #record: ContainerRecord;
  #waiters: Waiter[] = [];
  #restartTimer: NodeJS.Timeout | undefined;
  #oomAttempt = 0;
  #stopping: Promise<void> | undefined;

  constructor(context: AgentContext, record: ContainerRecord, around: ContainerSurroundings) {
    this.id = record.id;
    this.#context = context;
    this.#record = record;
    this.#around = around;
  }

  get record(): ContainerRecord {
    return this.#record;
  }

  get life(): Lifecycle {
    return this.#record.life;
  }

  get running(): boolean {
    return this.life.state === 'running' || this.life.state === 'paused';
  }

  /** Tells everybody that something happened. */
  emit(action: string, attributes: Readonly<Record<string, string>> = {}): void {
    const { name, image: from, execution } = this.#record;
    this.#context.events.emit('container', action, this.id, {
      ...execution.labels,
      name,
      image: from,
      ...attributes,
    });
  }

  /** Changes the record and writes it. */
  update(change: Partial<ContainerRecord>): void {
    this.#record = Object.freeze({ ...this.#record, ...change });
    const done = this.#context.metrics.recordWriteSeconds.startTimer({ durable: 'no' });
    this.#context.records.write(this.#record);
    done();
  }

  /** Changes the record and syncs it. */
  async updateDurably(change: Partial<ContainerRecord>): Promise<void> {
    this.#record = Object.freeze({ ...this.#record, ...change });
    await this.#sync();
  }

  async #sync(): Promise<void> {
    const done = this.#context.metrics.recordWriteSeconds.startTimer({ durable: 'yes' });
    await this.#context.records.writeDurably(this.#record);
    done();
  }

  /** Applies an event to the state machine; false when it changes nothing. Not written yet. */
  #transit(event: LifecycleEvent): boolean {
    const next = transition(this.life, event, this.#record.policy);
    if (next === this.life) return false;
    this.#record = Object.freeze({ ...this.#record, life: Object.freeze(next) });
    return true;
  }

  /** Applies and writes; false when it changes nothing. */
  apply(event: LifecycleEvent): boolean {
    const changed = this.#transit(event);
    if (changed) this.update({});
    return changed;
  }

  /** What the user wants must outlive a power loss where the policy makes a difference by it. */
  async applyWish(event: LifecycleEvent): Promise<boolean> {
    if (!this.#transit(event)) return false;
    if (this.#record.policy.name === 'no') this.update({});
    else await this.#sync();
    return true;
  }

  // --- starting

  /** The user's start. A running container is left as it is. */
  start(): Promise<number> {
    return this.actor.run(async () => {
      this.#refuseIf(['paused', 'removing', 'dead'], 'StartContainer');
      if (!isActive(this.life)) await this.startNow(false);
      return this.life.pid;
    });
  }

  /** Begins a new attempt and waits until it runs. */
  async startNow(automatic: boolean): Promise<void> {
    this.#clearRestart();
    const begun = performance.now();
    const { joinContainerId } = this.#record;
    if (joinContainerId !== '' && this.#around.find(joinContainerId)?.running !== true)
      throw refusal(
        'failed_precondition',
        'StartContainer',
        this.id,
        `the container whose network ${this.#record.name} shares is not running`,
      );
    if (!this.#transit({ type: 'start', bootId: this.#context.bootId, automatic })) return;
    const recorded = this.#record.policy.name === 'no' ? Promise.resolve(this.update({})) : this.#sync();
    await this.#makeRun(recorded, begun);
  }

  /** Makes the recorded attempt run: at a start, or to finish one that was cut short. */
  async finishStartNow(): Promise<void> {
    if (this.life.starting) await this.#makeRun(Promise.resolve(), performance.now());
  }

  async #makeRun(recorded: Promise<void>, begun: number): Promise<void> {
    const { attempt } = this.life;
    try {
      const started = await startAttempt(this.#context, this.#record, {
        ...this.#around.start,
        holdOutput: this.pendingAttachments > 0,
        terminalSize: this.terminalSize,
        recorded,
      });
      this.#transit({
        type: 'started',
        attempt,
        pid: started.pid,
        startedUnixNanos: started.startedUnixNanos,
      });
      this.#record = Object.freeze({ ...this.#record, network: started.network });
      this.#context.metrics.startSeconds.observe({ outcome: 'ok' }, (performance.now() - begun) / 1000);
      // The spawner knows it runs; should we die before this is written, it is adopted.
      setImmediate(() => {
        if (this.life.attempt === attempt && this.life.state !== 'removing') this.update({});
      });
    } catch (error) {
      this.#context.metrics.startSeconds.observe({ outcome: 'failed' }, (performance.now() - begun) / 1000);
      this.apply({
        type: 'start-failed',
        attempt,
        error: reasonOf(error),
        exitCode: startFailureCode(error),
        nowUnixMs: Date.now(),
      });
      this.emit('die', { exitCode: String(startFailureCode(error)) });
      this.#afterEnd();
      throw error;
    }
    this.emit('start');
    this.#notifyStarted();
    this.startHealth();
  }

  #startListeners = new Set<() => void>();

  /** Calls back once, at the next moment the container runs. */
  onStarted(listener: () => void): () => void {
    this.#startListeners.add(listener);
    return () => this.#startListeners.delete(listener);
  }

  #notifyStarted(): void {
    const listeners = [...this.#startListeners];
    this.#startListeners.clear();
    for (const listener of listeners) listener();
  }

  /** The health of what runs, from now on. */
  startHealth(): void {
    this.health?.stop();
    this.health = this.#around.monitor(this);
    this.health?.start();
  }

  // --- ending

  /** A running process that was found: ours from before this agent's time. */
  adoptNow(process: {
    readonly attempt: number;
    readonly pid: number;
    readonly startedUnixNanos: number;
  }): void {
    if (this.apply({ type: 'started', ...process })) this.#notifyStarted();
  }

  /** The process of an attempt has ended. */
  exited(attempt: number, exit: ObservedExit): Promise<void> {
    return this.actor.run(() => this.exitedNow(attempt, exit));
  }

  async exitedNow(attempt: number, exit: ObservedExit): Promise<void> {
    const oomKilled = exit.oomKilled || this.#oomAttempt === attempt;
    const event = { type: 'exited', attempt, ...exit, oomKilled, nowUnixMs: Date.now() } as const;
    if (!this.apply(event)) return;
    this.health?.stop();
    this.health = undefined;
    this.#context.metrics.exits.inc({
      reason: oomKilled ? 'oom' : exit.exitCode === 0 ? 'success' : 'failure',
    });
    if (oomKilled && this.#oomAttempt !== attempt) this.emit('oom');
    const seconds = Math.max(0, Math.round((exit.finishedUnixNanos - this.life.startedUnixNanos) / 1e9));
    this.emit('die', { exitCode: String(exit.exitCode), execDuration: String(seconds) });
    await this.releaseNow();
    this.#afterEnd();
  }

  /** Gives back what the ended attempt held. Errors are told in the log; the next comparison tries again. */
  async releaseNow(): Promise<void> {
    const errors = [...(await releaseAttempt(this.#context, this.id))];
    // Only now: as long as the spawner knows it, a new agent learns the exit code from it.
    await forgetProcess(this.#context, this.id).catch((error: unknown) => errors.push(error));
    for (const error of errors)
      this.#context.logger.warn(
        { container: this.id, reason: reasonOf(error) },
        'release failed, will be tried again',
      );
  }

  /** Waiters, policy and automatic removal, once an attempt is over. */
  #afterEnd(): void {
    const { state, exitCode, error } = this.life;
    const end = { exitCode, error };
    this.#wake(end, state === 'restarting' ? ['next-exit'] : ['next-exit', 'not-running']);
    if (state === 'restarting') this.awaitRestart();
    else if (state === 'exited' && this.#record.spec.autoRemove && !this.life.suspended)
      void this.actor
        .run(() => this.removeNow(true))
        .catch((failure: unknown) => this.#complain(failure, 'automatic removal failed'));
  }

  #complain(error: unknown, what: string): void {
    this.#context.logger.warn({ container: this.id, reason: reasonOf(error) }, what);
  }

  #wake(end: ContainerEnd, conditions: readonly WaitCondition[]): void {
    const woken = this.#waiters.filter(({ condition }) => conditions.includes(condition));
    this.#waiters = this.#waiters.filter(({ condition }) => !conditions.includes(condition));
    for (const { resolve } of woken) resolve(end);
  }

  /** Sets the timer of the next automatic start. */
  awaitRestart(): void {
    this.#clearRestart();
    const waitMs = Math.max(0, this.life.restartAtUnixMs - Date.now());
    this.#restartTimer = setTimeout(() => {
      void this.actor
        .run(async () => {
          if (this.life.state !== 'restarting' || this.#context.signal.aborted) return;
          if (!this.life.startAgain) this.#context.metrics.restarts.inc();
          await this.startNow(true);
        })
        .catch((error: unknown) => this.#complain(error, 'restart failed'));
    }, waitMs);
  }

  #clearRestart(): void {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
  }

  /** Resolves when the condition holds; at once when it does already. */
  wait(condition: WaitCondition, signal: AbortSignal): Promise<ContainerEnd> {
    const { exitCode, error, state } = this.life;
    if (condition === 'not-running' && !isActive(this.life) && state !== 'restarting')
      return Promise.resolve({ exitCode, error });
    return new Promise((resolve, reject) => {
      const waiter = { condition, resolve };
      this.#waiters.push(waiter);
      const onAbort = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(
          refusal(
            'deadline_exceeded',
            'WaitContainer',
            this.id,
            `the wait for ${this.#record.name} was given up`,
          ),
        );
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** A process in the container was killed because memory ran out. */
  outOfMemory(): void {
    if (!isActive(this.life)) return;
    this.#oomAttempt = this.life.attempt;
    this.emit('oom');
  }

  // --- stopping

  /** Stops and waits until everything is given back. */
  async stop(options: {
    readonly timeoutSeconds: number | undefined;
    readonly signal: number | undefined;
    readonly thenStart?: boolean;
  }): Promise<void> {
    const wasActive = await this.actor.run(async () => {
      this.#refuseIf(['removing', 'dead'], 'StopContainer');
      const active = isActive(this.life);
      this.#clearRestart();
      await this.applyWish({ type: 'stop', thenStart: options.thenStart ?? false });
      if (!active) this.#wake({ exitCode: this.life.exitCode, error: '' }, ['not-running', 'next-exit']);
      return active;
    });
    if (!wasActive) return;
    await this.finishStop(options);
    this.emit('stop');
  }

  /** Signal, patience, SIGKILL; then waits for the queue to have handled the exit. Once at a time. */
  finishStop(options: {
    readonly timeoutSeconds: number | undefined;
    readonly signal: number | undefined;
  }): Promise<void> {
    this.#stopping ??= this.#stopProcess(options).finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  async #stopProcess(options: {
    readonly timeoutSeconds: number | undefined;
    readonly signal: number | undefined;
  }): Promise<void> {
    const { attempt } = this.life;
    const { spec, execution } = this.#record;
    const timeoutSeconds =
      options.timeoutSeconds ?? spec.stopTimeoutSeconds ?? this.#context.config.stop_timeout_seconds;
    const signal = options.signal ?? execution.stopSignal;
    if (timeoutSeconds > 0) {
      await this.#thaw();
      await this.signalProcess(signal);
      if (await this.#goneWithin(attempt, timeoutSeconds * 1000)) return;
    }
    await this.killAll();
    if (await this.#goneWithin(attempt, KILL_WAIT_MS)) return;
    throw refusal(
      'deadline_exceeded',
      'StopContainer',
      this.id,
      `container ${this.#record.name} did not end within ${KILL_WAIT_MS / 1000} s of SIGKILL`,
    );
  }

  /** SIGKILL for every process inside, also a paused one. */
  async killAll(): Promise<void> {
    const killed = await Promise.allSettled([
      this.#context.bus.call(cgroup.CgroupSupervisor.methods.KillCgroup, { containerId: this.id }),
      this.signalProcess(SIGKILL),
    ]);
    await this.#thaw();
    const [byCgroup, bySignal] = killed;
    if (byCgroup.status === 'rejected' && bySignal.status === 'rejected') throw byCgroup.reason;
  }

  async #thaw(): Promise<void> {
    if (this.life.state !== 'paused') return;
    await this.#context.bus.call(cgroup.CgroupSupervisor.methods.ThawCgroup, { containerId: this.id });
    this.apply({ type: 'unpause' });
  }

  /** To the first process; that it has just ended is fine. */
  async signalProcess(signal: number): Promise<void> {
    try {
      await this.#context.bus.call(spawn.Spawner.methods.SignalContainer, { containerId: this.id, signal });
    } catch (error) {
      if (!isGantryError(error, 'not_found') && !isGantryError(error, 'failed_precondition')) throw error;
    }
    this.emit('kill', { signal: String(signal) });
  }

  async #goneWithin(attempt: number, timeoutMs: number): Promise<boolean> {
    const gone = (): boolean => this.life.attempt !== attempt || !isActive(this.life);
    const end = performance.now() + timeoutMs;
    while (!gone()) {
      const left = end - performance.now();
      if (left <= 0) return false;
      const timeout = AbortSignal.timeout(Math.ceil(Math.min(left, ASK_INTERVAL_MS)));
      await this.wait('next-exit', timeout).catch(() => undefined);
      if (!gone()) await this.askProcess();
    }
    // What the exit entails is in the queue before us.
    await this.actor.run(() => Promise.resolve());
    return true;
  }

  /** Learns from the spawner itself whether the process has ended. */
  async askProcess(): Promise<void> {
    const { attempt } = this.life;
    const found = await this.#context.bus
      .call(spawn.Spawner.methods.GetContainer, { containerId: this.id })
      .then(({ container }) => container)
      .catch(() => undefined);
    if (found?.attempt === attempt && found.status === 'exited' && found.exit !== undefined)
      await this.exited(attempt, observedExit(found.exit));
  }

  /** `kill`: a signal that ends it counts as the user's stop. */
  async kill(signal: number): Promise<void> {
    if (!this.running) throw this.#notRunning('KillContainer');
    if (signal === SIGKILL || signal === this.#record.execution.stopSignal)
      await this.actor.run(() => this.applyWish({ type: 'stop', thenStart: false }));
    await this.signalProcess(signal);
    if (signal === SIGKILL) await this.#thaw();
  }

  // --- pausing

  pause(): Promise<void> {
    return this.actor.run(async () => {
      if (this.life.state === 'paused')
        throw refusal(
          'failed_precondition',
          'PauseContainer',
          this.id,
          `container ${this.#record.name} is paused already`,
        );
      if (this.life.state !== 'running') throw this.#notRunning('PauseContainer');
      await this.#context.bus.call(cgroup.CgroupSupervisor.methods.FreezeCgroup, { containerId: this.id });
      this.apply({ type: 'pause' });
      this.emit('pause');
    });
  }

  unpause(): Promise<void> {
    return this.actor.run(async () => {
      if (this.life.state !== 'paused')
        throw refusal(
          'failed_precondition',
          'UnpauseContainer',
          this.id,
          `container ${this.#record.name} is not paused`,
        );
      await this.#thaw();
      this.emit('unpause');
    });
  }

  // --- going away

  async remove(options: { readonly force: boolean; readonly volumes: boolean }): Promise<void> {
    if (isActive(this.life)) {
      if (!options.force) {
        const hint = this.life.state === 'paused' ? 'paused' : 'running';
        throw refusal(
          'failed_precondition',
          'RemoveContainer',
          this.id,
          `container ${this.#record.name} is ${hint}: stop it first, or remove it by force`,
        );
      }
      await this.actor.run(() => this.applyWish({ type: 'stop', thenStart: false }));
      if (isActive(this.life)) await this.finishStop({ timeoutSeconds: 0, signal: undefined });
    }
    await this.actor.run(() => this.removeNow(options.volumes || this.#record.spec.autoRemove));
  }

  /** Marks it, gives everything back, forgets it. Whatever cuts this short, the mark makes the next look go on. */
  async removeNow(volumes: boolean): Promise<void> {
    if (this.#gone) return;
    this.#clearRestart();
    if (this.life.state !== 'removing') this.apply({ type: 'remove', volumes });
    if (isActive(this.life))
      throw refusal(
        'failed_precondition',
        'RemoveContainer',
        this.id,
        `container ${this.#record.name} has been started again`,
      );
    const errors: unknown[] = [
      ...(this.life.attempt > 0 ? await releaseAttempt(this.#context, this.id) : []),
    ];
    if (this.life.attempt > 0)
      await forgetProcess(this.#context, this.id).catch((error: unknown) => errors.push(error));
    if (errors.length === 0)
      await this.#context.bus
        .call(image.ImageStore.methods.ReleaseRootfs, { containerId: this.id })
        .catch((error: unknown) => errors.push(error));
    if (errors.length > 0) {
      const message = `container ${this.#record.name} is not wholly removed: ${errors.map(reasonOf).join('; ')}`;
      // Shown as dead; every later comparison tries again, and so may the user.
      this.apply({ type: 'removal-failed', error: message });
      throw refusal('unavailable', 'RemoveContainer', this.id, message, errors[0]);
    }
    if (volumes || this.life.removeVolumes) await this.#removeAnonymousVolumes();
    await this.#context.records.remove(this.id);
    this.#gone = true;
    this.emit('destroy');
    this.#around.removed(this);
    this.#wake({ exitCode: this.life.exitCode, error: this.life.error }, [
      'removed',
      'next-exit',
      'not-running',
    ]);
  }

  #gone = false;

  async #removeAnonymousVolumes(): Promise<void> {
    for (const { type, source, anonymous } of this.#record.mounts)
      if (type === 'volume' && anonymous) await this.#context.volumes.remove(source);
  }

  // --- the rest

  rename(name: string): Promise<void> {
    return this.actor.run(async () => {
      const oldName = this.#record.name;
      if (isActive(this.life))
        await this.#context.bus.call(network.NetworkManager.methods.SetNames, {
          containerId: this.id,
          names: [name, this.id.slice(0, 12)],
        });
      await this.updateDurably({ name });
      this.emit('rename', { oldName });
    });
  }

  #refuseIf(states: readonly string[], operation: string): void {
    const { state } = this.life;
    if (!states.includes(state)) return;
    const hint = state === 'paused' ? ': unpause it first' : state === 'removing' ? ' now' : ': remove it';
    throw refusal(
      'failed_precondition',
      operation,
      this.id,
      `container ${this.#record.name} is ${state === 'removing' ? 'being removed' : state}${hint}`,
    );
  }

  #notRunning(operation: string) {
    return refusal(
      'failed_precondition',
      operation,
      this.id,
      `container ${this.#record.name} is not running`,
    );
  }

  /** Timers only: the container itself is left alone. */
  dispose(): void {
    this.#clearRestart();
    this.health?.stop();
  }
}

/** Docker's exit codes of a container that could not be started. */
function startFailureCode(error: unknown): number {
  if (isGantryError(error, 'not_found') || /no such file|not found/i.test(reasonOf(error))) return 127;
  if (isGantryError(error, 'permission_denied') || /permission denied|exec format/i.test(reasonOf(error)))
    return 126;
  return 128;
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

/** For messages: "SIGTERM". */
export const describeSignal = signalName;

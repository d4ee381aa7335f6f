import { isGantryError } from '@gantry/protocol';
import { Actor } from './actor.js';
import { ContainerHoldings } from './container-holdings.js';
import type { AgentContext } from './context.js';
import type { ObservedExit } from './decide.js';
import type { HealthMonitor } from './health.js';
import { KeptRecord } from './kept-record.js';
import { isActive, type Lifecycle, type LifecycleEvent, type StateName } from './lifecycle.js';
import type { ContainerRecord } from './record.js';
import { reasonOf, refusal } from './refuse.js';
import { startAttempt, type StartOptions, type TerminalSize } from './start-attempt.js';
import { stopProcess, type StopWish } from './stop-process.js';
import { Waiters, type ContainerEnd, type WaitCondition } from './waiters.js';

const SIGKILL = 9;

/** What a container needs of those around it. */
export interface ContainerSurroundings {
  readonly start: Pick<StartOptions, 'users' | 'shimCgroups'>;
  /** The record is gone: forget the container. */
  readonly removed: (container: Container) => void;
  readonly monitor: (container: Container) => HealthMonitor | undefined;
  /** Ids of the containers that use a volume. */
  readonly usersOf: (volume: string) => readonly string[];
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
  readonly holdings: ContainerHoldings;
  health: HealthMonitor | undefined;
  /** Clients that wait for the next start to attach. */
  pendingAttachments = 0;
  /** The terminal of the latest of them. */
  terminalSize: TerminalSize | undefined;
  readonly #context: AgentContext;
  readonly #around: ContainerSurroundings;
  readonly #kept: KeptRecord;
  readonly #waiters = new Waiters();
  #restartTimer: NodeJS.Timeout | undefined;
  #oomAttempt = 0;
  #stopping: Promise<void> | undefined;
  #gone = false;
  readonly #startListeners = new Set<() => void>();

  constructor(context: AgentContext, record: ContainerRecord, around: ContainerSurroundings) {
    this.id = record.id;
    this.holdings = new ContainerHoldings(context, record.id);
    this.#context = context;
    this.#kept = new KeptRecord(context, record);
    this.#around = around;
  }

  get record(): ContainerRecord {
    return this.#kept.current;
  }

  get life(): Lifecycle {
    return this.record.life;
  }

  get running(): boolean {
    return this.life.state === 'running' || this.life.state === 'paused';
  }

  /** Tells everybody that something happened. */
  emit(action: string, attributes: Readonly<Record<string, string>> = {}): void {
    const { name, image: from, execution } = this.record;
    this.#context.events.emit('container', action, this.id, {
      ...execution.labels,
      name,
      image: from,
      ...attributes,
    });
  }

  /** Changes the record for the user: it outlives a power loss, or stays as it was. */
  async change(change: Partial<ContainerRecord>): Promise<void> {
    const before = this.record;
    this.#kept.change(change);
    await this.#kept.save(true).catch((error: unknown) => {
      const { name, spec, policy } = before;
      this.#kept.change({ name, spec, policy });
      throw error;
    });
  }

  /** Applies what has happened; false when it changes nothing. */
  apply(event: LifecycleEvent): boolean {
    const changed = this.#kept.transit(event);
    if (changed) void this.#kept.note(false);
    return changed;
  }

  /** What the user wants must outlive a power loss where the policy makes a difference by it. */
  async applyWish(event: LifecycleEvent): Promise<void> {
    if (this.#kept.transit(event)) await this.#kept.note(this.#durable);
  }

  get #durable(): boolean {
    return this.record.policy.name !== 'no';
  }

  /** Writes what could not be written before. */
  async catchUpNow(): Promise<void> {
    if (this.#kept.unwritten && !this.#gone) await this.#kept.note(true);
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
    const { joinContainerId, name } = this.record;
    if (joinContainerId !== '' && this.#around.find(joinContainerId)?.running !== true)
      throw this.#refusal('StartContainer', `the container whose network ${name} shares is not running`);
    if (!this.#kept.transit({ type: 'start', bootId: this.#context.bootId, automatic })) return;
    await this.#makeRun(this.#kept.save(this.#durable), begun);
  }

  /** Makes the recorded attempt run: to finish a start that was cut short. */
  async finishStartNow(): Promise<void> {
    if (this.life.starting) await this.#makeRun(Promise.resolve(), performance.now());
  }

  async #makeRun(recorded: Promise<void>, begun: number): Promise<void> {
    const { attempt } = this.life;
    this.holdings.beginAttempt();
    const observe = (outcome: string): void =>
      this.#context.metrics.startSeconds.observe({ outcome }, (performance.now() - begun) / 1000);
    try {
      const started = await startAttempt(this.#context, this.record, {
        ...this.#around.start,
        rootfs: this.holdings.rootfs,
        holdOutput: this.pendingAttachments > 0,
        terminalSize: this.terminalSize,
        recorded,
      });
      const { pid, startedUnixNanos } = started;
      this.#kept.transit({ type: 'started', attempt, pid, startedUnixNanos });
      this.#kept.change({ network: started.network });
    } catch (error) {
      observe('failed');
      this.holdings.rootfs = undefined;
      const exitCode = startFailureCode(error);
      this.apply({ type: 'start-failed', attempt, error: reasonOf(error), exitCode, nowUnixMs: Date.now() });
      this.emit('die', { exitCode: String(exitCode) });
      this.#afterEnd();
      throw error;
    }
    observe('ok');
    // The spawner knows that it runs; should we die before this is written, it is adopted.
    setImmediate(() => {
      if (!this.#gone) void this.#kept.note(false);
    });
    this.emit('start');
    this.#tellStarted();
    this.startHealth();
  }

  /** Calls back once, at the next moment the container runs. */
  onStarted(listener: () => void): () => void {
    this.#startListeners.add(listener);
    return () => this.#startListeners.delete(listener);
  }

  #tellStarted(): void {
    const listeners = [...this.#startListeners];
    this.#startListeners.clear();
    for (const listener of listeners) listener();
  }

  /** Watches the health of what runs, from now on. */
  startHealth(adopted = false): void {
    this.health?.stop();
    this.health = this.#around.monitor(this);
    this.health?.start(adopted);
  }

  /** A running process that was found: ours from before this agent's time. */
  adoptNow(process: {
    readonly attempt: number;
    readonly pid: number;
    readonly startedUnixNanos: number;
  }): void {
    const { attempt, pid, startedUnixNanos } = process;
    if (this.apply({ type: 'started', attempt, pid, startedUnixNanos })) this.#tellStarted();
  }

  // --- ending

  /** The process of an attempt has ended. */
  exited(attempt: number, exit: ObservedExit): Promise<void> {
    return this.actor.run(() => this.exitedNow(attempt, exit));
  }

  async exitedNow(attempt: number, exit: ObservedExit): Promise<void> {
    const oomTold = this.#oomAttempt === attempt;
    const oomKilled = exit.oomKilled || oomTold;
    const { exitCode, error, finishedUnixNanos } = exit;
    const ended = { attempt, exitCode, error, finishedUnixNanos, oomKilled, nowUnixMs: Date.now() };
    if (!this.apply({ type: 'exited', ...ended })) return;
    this.health?.stop();
    this.health = undefined;
    this.#context.metrics.exits.inc({ reason: oomKilled ? 'oom' : exitCode === 0 ? 'success' : 'failure' });
    if (oomKilled && !oomTold) this.emit('oom');
    const seconds = Math.max(0, Math.round((finishedUnixNanos - this.life.startedUnixNanos) / 1e9));
    this.emit('die', { exitCode: String(exitCode), execDuration: String(seconds) });
    // What cannot be given back now is found by the next comparison.
    await this.holdings.release();
    this.#afterEnd();
  }

  /** Waiters, policy and automatic removal, once an attempt is over. */
  #afterEnd(): void {
    const { state, exitCode, error, suspended } = this.life;
    const end = { exitCode, error };
    if (state === 'restarting') {
      this.#waiters.wake(end, 'next-exit');
      this.awaitRestart();
      return;
    }
    this.#waiters.wake(end, 'next-exit', 'not-running');
    if (state === 'exited' && this.record.spec.autoRemove && !suspended)
      this.#later(() => this.removeNow(true), 'automatic removal failed');
  }

  /** Something to do in the queue that nobody waits for. */
  #later(work: () => Promise<void>, complaint: string): void {
    this.actor.run(work).catch((error: unknown) => {
      this.#context.logger.warn({ container: this.id, reason: reasonOf(error) }, complaint);
    });
  }

  /** Sets the timer of the next automatic start. */
  awaitRestart(): void {
    this.#clearRestart();
    const restart = async (): Promise<void> => {
      if (this.life.state !== 'restarting' || this.#context.signal.aborted) return;
      if (!this.life.startAgain) this.#context.metrics.restarts.inc();
      await this.startNow(true);
    };
    const waitMs = Math.max(0, this.life.restartAtUnixMs - Date.now());
    this.#restartTimer = setTimeout(() => this.#later(restart, 'restart failed'), waitMs);
  }

  #clearRestart(): void {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
  }

  /** Resolves when the condition holds; at once when it does already. */
  wait(condition: WaitCondition, signal: AbortSignal): Promise<ContainerEnd> {
    const { exitCode, error, state } = this.life;
    const over =
      this.#gone || (condition === 'not-running' && !isActive(this.life) && state !== 'restarting');
    return over ? Promise.resolve({ exitCode, error }) : this.#waiters.add(condition, signal);
  }

  /** A process in the container was killed because memory ran out. */
  outOfMemory(): void {
    if (!isActive(this.life) || this.#oomAttempt === this.life.attempt) return;
    this.#oomAttempt = this.life.attempt;
    this.emit('oom');
  }

  // --- stopping

  /** Stops and waits until everything is given back. */
  async stop(wish: StopWish & { readonly thenStart?: boolean }): Promise<void> {
    const wasActive = await this.actor.run(async () => {
      this.#refuseIf(['removing', 'dead'], 'StopContainer');
      const active = isActive(this.life);
      this.#clearRestart();
      await this.applyWish({ type: 'stop', thenStart: wish.thenStart ?? false });
      if (!active)
        this.#waiters.wake({ exitCode: this.life.exitCode, error: '' }, 'not-running', 'next-exit');
      return active;
    });
    if (!wasActive) return;
    await this.finishStop(wish);
    this.emit('stop');
  }

  /** Ends the process of a container that is to stop. One stop at a time: a second caller waits for the first. */
  finishStop(wish: StopWish): Promise<void> {
    this.#stopping ??= stopProcess(this, wish, this.#context.config.stop_timeout_seconds).finally(
      () => (this.#stopping = undefined),
    );
    return this.#stopping;
  }

  async signalProcess(signal: number): Promise<void> {
    await this.holdings.signal(signal);
    this.emit('kill', { signal: String(signal) });
  }

  /** SIGKILL for every process inside, also frozen ones. */
  async killAll(): Promise<void> {
    await this.holdings.killAll();
    this.emit('kill', { signal: String(SIGKILL) });
    await this.thaw();
  }

  async thaw(): Promise<void> {
    if (this.life.state !== 'paused') return;
    await this.holdings.thaw();
    this.apply({ type: 'unpause' });
  }

  /** Learns from the spawner itself whether the process has ended. */
  async askProcess(): Promise<void> {
    const { attempt } = this.life;
    const exit = await this.holdings.askExit(attempt);
    if (exit !== undefined) await this.exited(attempt, exit);
  }

  /** `kill`: a signal that ends it counts as the user's stop. */
  async kill(signal: number): Promise<void> {
    if (!this.running) throw this.#notRunning('KillContainer');
    if (signal === SIGKILL || signal === this.record.execution.stopSignal)
      await this.actor.run(() => this.applyWish({ type: 'stop', thenStart: false }));
    await this.signalProcess(signal);
    // A frozen process is killed only once it thaws.
    if (signal === SIGKILL) await this.thaw();
  }

  pause(): Promise<void> {
    return this.actor.run(async () => {
      if (this.life.state === 'paused')
        throw this.#refusal('PauseContainer', `container ${this.record.name} is paused already`);
      if (this.life.state !== 'running') throw this.#notRunning('PauseContainer');
      await this.holdings.freeze();
      this.apply({ type: 'pause' });
      this.emit('pause');
    });
  }

  unpause(): Promise<void> {
    return this.actor.run(async () => {
      if (this.life.state !== 'paused')
        throw this.#refusal('UnpauseContainer', `container ${this.record.name} is not paused`);
      await this.thaw();
      this.emit('unpause');
    });
  }

  // --- going away

  async remove(options: { readonly force: boolean; readonly volumes: boolean }): Promise<void> {
    const { name, spec } = this.record;
    if (isActive(this.life)) {
      if (!options.force) {
        const state = this.life.state === 'paused' ? 'paused' : 'running';
        const message = `container ${name} is ${state}: stop it first, or remove it by force`;
        throw this.#refusal('RemoveContainer', message);
      }
      await this.actor.run(() => this.applyWish({ type: 'stop', thenStart: false }));
      if (isActive(this.life)) await this.finishStop({ timeoutSeconds: 0, signal: undefined });
    }
    await this.actor.run(() => this.removeNow(options.volumes || spec.autoRemove));
  }

  /** Marks it, gives everything back, forgets it. Whatever cuts this short, the mark makes the next look go on. */
  async removeNow(volumes: boolean): Promise<void> {
    if (this.#gone) return;
    this.#clearRestart();
    if (this.life.state !== 'removing') this.apply({ type: 'remove', volumes });
    if (isActive(this.life))
      throw this.#refusal('RemoveContainer', `container ${this.record.name} has been started again`);
    const held = this.life.attempt > 0 ? await this.holdings.release() : [];
    const errors = held.length > 0 ? held : await this.holdings.releaseRootfs();
    if (errors.length > 0) {
      const message = `container ${this.record.name} is not wholly removed: ${errors.map(reasonOf).join('; ')}`;
      // Shown as dead; every later comparison tries again, and so may the user.
      this.apply({ type: 'removal-failed', error: message });
      throw refusal('unavailable', 'RemoveContainer', this.id, message, errors[0]);
    }
    if (volumes || this.life.removeVolumes) await this.#removeAnonymousVolumes();
    await this.#context.records.remove(this.id);
    this.#gone = true;
    this.emit('destroy');
    this.#around.removed(this);
    const { exitCode, error } = this.life;
    this.#waiters.wake({ exitCode, error }, 'removed', 'next-exit', 'not-running');
  }

  async #removeAnonymousVolumes(): Promise<void> {
    for (const { type, source, anonymous } of this.record.mounts)
      if (type === 'volume' && anonymous && this.#around.usersOf(source).every((id) => id === this.id))
        await this.#context.volumes.remove(source);
  }

  // --- the rest

  rename(name: string): Promise<void> {
    return this.actor.run(async () => {
      const oldName = this.record.name;
      if (isActive(this.life)) await this.holdings.rename(name);
      await this.change({ name });
      this.emit('rename', { oldName });
    });
  }

  #refusal(operation: string, message: string): Error {
    return refusal('failed_precondition', operation, this.id, message);
  }

  #notRunning(operation: string): Error {
    return this.#refusal(operation, `container ${this.record.name} is not running`);
  }

  #refuseIf(states: readonly StateName[], operation: string): void {
    const { state } = this.life;
    if (!states.includes(state)) return;
    const words = {
      paused: 'is paused: unpause it first',
      removing: 'is being removed',
      dead: 'is dead: remove it',
    };
    const word = Object.hasOwn(words, state) ? words[state as keyof typeof words] : `is ${state}`;
    throw this.#refusal(operation, `container ${this.record.name} ${word}`);
  }

  /** Stops timers only: the container itself is left alone. */
  dispose(): void {
    this.#clearRestart();
    this.health?.stop();
  }
}

/** Docker's exit codes of a container that could not be started. */
function startFailureCode(error: unknown): number {
  const reason = reasonOf(error);
  if (isGantryError(error, 'not_found') || /no such file|not found/i.test(reason)) return 127;
  if (isGantryError(error, 'permission_denied') || /permission denied|exec format/i.test(reason)) return 126;
  return 128;
}

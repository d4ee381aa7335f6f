import { cgroup, type cgroup as cgroups, type common, type spawn } from '@gantry/protocol';
import { observedExit } from './container-holdings.js';
import { Container, type ContainerSurroundings } from './container.js';
import type { AgentContext } from './context.js';
import { createContainer, type CreateRequest } from './create-container.js';
import { Execs } from './execs.js';
import { HealthMonitor } from './health.js';
import { isActive } from './lifecycle.js';
import { Reconciler } from './reconcile.js';
import { reasonOf } from './refuse.js';
import type { Registry } from './registry.js';
import { UserLookup } from './user-lookup.js';
import { VolumeService } from './volume-service.js';

/** How many containers are stopped at a time when the node goes down. */
const STOPS_AT_ONCE = 16;

/** The node's supervisor: the containers it knows, and what happens to all of them. */
export class Agent {
  readonly context: AgentContext;
  readonly registry: Registry;
  readonly execs: Execs;
  readonly volumes: VolumeService;
  readonly reconciler: Reconciler;
  readonly #users = new UserLookup();
  readonly #around: ContainerSurroundings;
  #shimCgroups: Promise<readonly common.KernelHandle[]> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #goingDown = false;

  constructor(context: AgentContext, registry: Registry) {
    this.context = context;
    this.registry = registry;
    this.execs = new Execs(context, this.#users);
    this.volumes = new VolumeService(context, registry);
    this.reconciler = new Reconciler(context, registry);
    this.#around = {
      start: { users: this.#users, shimCgroups: () => this.#askShimCgroups() },
      removed: (container) => {
        this.registry.remove(container);
        this.execs.forget(container);
      },
      monitor: (container) =>
        container.record.execution.healthCheck === undefined
          ? undefined
          : new HealthMonitor(context, container, this.#users),
      usersOf: (volume) => this.volumes.usersOf(volume),
      find: (id) => this.registry.get(id),
    };
  }

  /** Reads every record; what is broken is told and left where it is. */
  async load(): Promise<void> {
    const { context } = this;
    await context.volumes.load();
    const { records, broken } = await context.records.load();
    for (const record of records) {
      const container = new Container(context, record, this.#around);
      this.registry.add(container);
      this.registry.remember(record.idempotencyKey, container);
    }
    for (const id of broken)
      context.logger.error({ container: id }, 'a container record cannot be read, its files are left alone');
    context.logger.info({ containers: records.length }, 'records read');
  }

  /** Sets right what happened meanwhile, now and from time to time. */
  watch(): void {
    const look = (): void => {
      void this.reconciler
        .run()
        .catch((error: unknown) =>
          this.context.logger.warn({ reason: reasonOf(error) }, 'comparison failed, will be tried again'),
        );
    };
    // What listing shows must not depend on a cgroup root that a reboot or another release has moved.
    this.#timer = setInterval(() => {
      this.#shimCgroups = undefined;
      look();
    }, this.context.config.reconcile_interval_ms);
    look();
    void this.context.volumes.sweep().catch(() => undefined);
  }

  /** After the bus came back: events were lost, services may be new. */
  reconnected(): void {
    this.#shimCgroups = undefined;
    void this.reconciler.run().catch(() => undefined);
  }

  dispose(): void {
    clearInterval(this.#timer);
    for (const container of this.registry.all()) container.dispose();
  }

  async create(
    request: CreateRequest,
  ): Promise<{ readonly container: Container; readonly warnings: readonly string[] }> {
    let warnings: readonly string[] = [];
    const container = await this.registry.once(request.idempotencyKey, async () => {
      const created = await createContainer(this.context, this.registry, this.#around, request);
      warnings = created.warnings;
      return created.container;
    });
    return { container, warnings };
  }

  processExited(event: spawn.ProcessExitedEvent): void {
    if (event.exit === undefined) return;
    if (event.execId !== '') {
      this.execs.exited(event.execId, event.exit.exitCode);
      return;
    }
    const container = this.registry.get(event.containerId);
    void container?.exited(event.attempt, observedExit(event.exit)).catch((error: unknown) => {
      this.context.logger.error(
        { container: event.containerId, reason: reasonOf(error) },
        'handling an exit failed',
      );
    });
  }

  outOfMemory(event: cgroups.OomEvent): void {
    this.registry.get(event.containerId)?.outOfMemory();
  }

  async rename(container: Container, name: string): Promise<void> {
    const oldName = container.record.name;
    if (name === oldName) return;
    this.registry.reserve(name, container.id, 'RenameContainer');
    try {
      await container.rename(name);
    } catch (error) {
      this.registry.releaseName(name, container.id);
      throw error;
    }
    this.registry.releaseName(oldName, container.id);
  }

  /** Every container is being stopped because the node goes down: nobody starts one now. */
  get goingDown(): boolean {
    return this.#goingDown;
  }

  /** Stops all for the node's going down; policies bring back at its coming up what they keep. */
  async stopAll(timeoutSeconds: number | undefined): Promise<number> {
    this.#goingDown = true;
    const all = this.registry.all();
    const active = all.filter(({ life }) => isActive(life));
    for (const container of all) await container.actor.run(() => container.applyWish({ type: 'suspend' }));
    const waiting = [...active];
    const errors: unknown[] = [];
    const stopSome = async (): Promise<void> => {
      for (let container = waiting.shift(); container !== undefined; container = waiting.shift())
        if (isActive(container.life))
          await container
            .finishStop({ timeoutSeconds, signal: undefined })
            .catch((error: unknown) => errors.push(error));
    };
    await Promise.all(Array.from({ length: STOPS_AT_ONCE }, stopSome));
    if (errors.length > 0) throw errors[0];
    return active.length;
  }

  #askShimCgroups(): Promise<readonly common.KernelHandle[]> {
    this.#shimCgroups ??= this.context.bus
      .call(cgroup.CgroupSupervisor.methods.GetCgroupInfo, {})
      .then(({ shimPaths }) =>
        shimPaths.flatMap(({ directory }) => (directory === undefined ? [] : [directory])),
      );
    // A failure is not kept: the next start asks again.
    this.#shimCgroups.catch(() => (this.#shimCgroups = undefined));
    return this.#shimCgroups;
  }
}

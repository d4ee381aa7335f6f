import { cgroup, image, network, spawn } from '@gantry/protocol';
import { observedExit } from './container-holdings.js';
import type { Container } from './container.js';
import type { AgentContext } from './context.js';
import { decide, type Observed, type ObservedProcess, type Step } from './decide.js';
import type { Lifecycle } from './lifecycle.js';
import { reasonOf } from './refuse.js';
import type { Registry } from './registry.js';
import { forgetProcess, releaseAttempt } from './start-attempt.js';

const DEADLINE_MS = 30_000;

/** What the four services have, by container id. */
interface Truth {
  readonly processes: ReadonlyMap<string, spawn.ContainerState>;
  readonly sandboxes: ReadonlySet<string>;
  readonly cgroups: ReadonlySet<string>;
  readonly rootfs: ReadonlySet<string>;
}

interface Page {
  readonly nextPageToken: string;
}

async function allPages<P extends Page, T>(
  fetch: (pageToken: string) => Promise<P>,
  items: (page: P) => readonly T[],
): Promise<T[]> {
  const all: T[] = [];
  for (let token = ''; ;) {
    const page = await fetch(token);
    all.push(...items(page));
    if (page.nextPageToken === '') return all;
    token = page.nextPageToken;
  }
}

async function listTruth({ bus }: AgentContext): Promise<Truth> {
  const options = { deadlineMs: DEADLINE_MS };
  const [processes, holders, cgroups, rootfs] = await Promise.all([
    allPages(
      (pageToken) => bus.call(spawn.Spawner.methods.ListContainers, { pageToken }, options),
      (page) => page.containers,
    ),
    allPages(
      (pageToken) => bus.call(network.NetworkManager.methods.ListSandboxes, { pageToken }, options),
      (page) => page.holders,
    ),
    allPages(
      (pageToken) => bus.call(cgroup.CgroupSupervisor.methods.ListCgroups, { pageToken }, options),
      (page) => page.containerIds,
    ),
    allPages(
      (pageToken) => bus.call(image.ImageStore.methods.ListRootfs, { pageToken }, options),
      (page) => page.containerIds,
    ),
  ]);
  return {
    processes: new Map(processes.map((state) => [state.containerId, state])),
    sandboxes: new Set(holders.map(({ containerId }) => containerId)),
    cgroups: new Set(cgroups),
    rootfs: new Set(rootfs),
  };
}

function observedProcess(state: spawn.ContainerState | undefined): ObservedProcess | undefined {
  if (state === undefined) return undefined;
  const { attempt, pid, startedUnixNanos, exit } = state;
  if (state.status === 'running') return { status: 'running', attempt, pid, startedUnixNanos };
  return {
    status: 'exited',
    attempt,
    exit:
      exit === undefined
        ? {
            exitCode: 137,
            oomKilled: false,
            error: 'the exit code was lost',
            finishedUnixNanos: Date.now() * 1e6,
          }
        : observedExit(exit),
  };
}

/** A container, and its state when the look began. */
interface Look {
  readonly container: Container;
  readonly life: Lifecycle;
}

/** Compares records with what the services have, and performs what follows. One run at a time. */
export class Reconciler {
  readonly #context: AgentContext;
  readonly #registry: Registry;
  #running: Promise<void> | undefined;
  #again = false;
  /** Containers that the node's last end suspended and that this start has not yet taken up again. */
  #suspended: Set<string> | undefined;

  constructor(context: AgentContext, registry: Registry) {
    this.#context = context;
    this.#registry = registry;
  }

  /** Runs now, or once more after the run under way. */
  run(): Promise<void> {
    if (this.#running !== undefined) {
      this.#again = true;
      return this.#running;
    }
    this.#running = this.#loop().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #loop(): Promise<void> {
    do {
      this.#again = false;
      const done = this.#context.metrics.reconcileSeconds.startTimer();
      await this.#once();
      done();
    } while (this.#again && !this.#context.signal.aborted);
  }

  async #once(): Promise<void> {
    // Noted before the truth is listed: what changes or is made in between is neither ours to judge nor to sweep.
    const noted = this.#registry.all().map((container) => ({ container, life: container.life }));
    const calm = noted.filter(({ container }) => container.actor.idle);
    const claimed = new Set([...noted.map(({ container }) => container.id), ...this.#registry.creating]);
    const truth = await listTruth(this.#context);
    this.#suspended ??= new Set(noted.map(({ container }) => container.id));
    for (const { container, life } of noted) if (!life.suspended) this.#suspended.delete(container.id);
    const results = await Promise.allSettled(calm.map((look) => this.#settle(look, truth)));
    results.forEach((result, index) => {
      if (result.status === 'rejected')
        this.#context.logger.warn(
          { container: calm[index]?.container.id, reason: reasonOf(result.reason) },
          'comparison failed, will be tried again',
        );
    });
    await this.#sweep(truth, claimed);
  }

  async #settle({ container, life }: Look, truth: Truth): Promise<void> {
    // A container that is busy or has changed has outrun what was listed: its own work, or the next look, sets it right.
    if (!container.actor.idle || container.life !== life) return;
    const nodeStarted = this.#suspended?.has(container.id) === true;
    await container.actor.run(async () => {
      await container.catchUpNow();
      const { id } = container;
      const observed: Observed = {
        process: observedProcess(truth.processes.get(id)),
        sandbox: truth.sandboxes.has(id),
        cgroup: truth.cgroups.has(id),
        rootfs: truth.rootfs.has(id),
        bootId: this.#context.bootId,
        nowUnixMs: Date.now(),
        nodeStarted,
      };
      const { policy, spec } = container.record;
      const steps = decide(container.life, observed, policy, { autoRemove: spec.autoRemove });
      for (const step of steps) {
        if (step.do !== 'await-restart') {
          this.#context.metrics.steps.inc({ step: step.do });
          this.#context.logger.info({ container: id, step: step.do }, 'setting right');
        }
        await this.#perform(container, step);
      }
      if (container.running && container.health === undefined) container.startHealth(true);
    });
    // Only now: what failed is tried again as at the node's start.
    this.#suspended?.delete(container.id);
  }

  /** Performs one step, inside the container's queue. */
  async #perform(container: Container, step: Step): Promise<void> {
    const { bus } = this.#context;
    const { id } = container;
    const options = { deadlineMs: DEADLINE_MS };
    switch (step.do) {
      case 'record-running':
        container.adoptNow(step);
        return;
      case 'record-exit':
        await container.exitedNow(step.attempt, step.exit);
        return;
      case 'finish-start':
        await container.finishStartNow();
        return;
      case 'finish-stop':
        // It waits for the exit, which comes through the queue we are in.
        void container
          .finishStop({ timeoutSeconds: undefined, signal: undefined })
          .catch((error: unknown) => {
            this.#context.logger.warn({ container: id, reason: reasonOf(error) }, 'finishing a stop failed');
          });
        return;
      case 'kill-process':
        await container.killAll();
        await this.#untilGone(id);
        return;
      case 'forget-process':
        await forgetProcess(this.#context, id);
        return;
      case 'detach-sandbox':
        await bus.call(network.NetworkManager.methods.DetachSandbox, { containerId: id }, options);
        return;
      case 'destroy-cgroup':
        await bus.call(cgroup.CgroupSupervisor.methods.DestroyCgroup, { containerId: id }, options);
        return;
      case 'release-rootfs':
      case 'remove-volumes':
        // Removal performs them itself, with the record going last.
        return;
      case 'record-removal':
        await container.removeNow(true);
        return;
      case 'delete-record':
        await container.removeNow(container.life.removeVolumes);
        return;
      case 'start-automatically':
        await container.startNow(true);
        return;
      case 'await-restart':
        container.awaitRestart();
    }
  }

  async #untilGone(id: string): Promise<void> {
    for (let look = 0; look < 100; look += 1) {
      const found = await this.#context.bus
        .call(spawn.Spawner.methods.GetContainer, { containerId: id })
        .then(({ container }) => container)
        .catch(() => undefined);
      if (found?.status !== 'running') return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Gives back what belongs to ids that have no record and are not being made. */
  async #sweep(truth: Truth, claimed: ReadonlySet<string>): Promise<void> {
    const owners = new Set([
      ...truth.processes.keys(),
      ...truth.sandboxes,
      ...truth.cgroups,
      ...truth.rootfs,
    ]);
    for (const id of owners) {
      if (claimed.has(id) || this.#registry.get(id) !== undefined || this.#registry.creating.has(id))
        continue;
      await this.#sweepOne(id, truth).catch((error: unknown) => {
        this.#context.logger.warn(
          { container: id, reason: reasonOf(error) },
          'sweep failed, will be tried again',
        );
      });
    }
  }

  async #sweepOne(id: string, truth: Truth): Promise<void> {
    const { bus, metrics } = this.#context;
    const process = truth.processes.get(id);
    if (process?.status === 'running') {
      // Records go last, so a process without one means that records were lost. That is never a reason to stop anything.
      this.#context.logger.error(
        { container: id, pid: process.pid },
        'a container runs that no record claims, it is left alone',
      );
      return;
    }
    if (process !== undefined) {
      await forgetProcess(this.#context, id);
      metrics.swept.inc({ kind: 'process' });
    }
    this.#context.logger.warn({ container: id }, 'sweeping what no record claims');
    const errors = await releaseAttempt(this.#context, id);
    if (truth.sandboxes.has(id)) metrics.swept.inc({ kind: 'sandbox' });
    if (truth.cgroups.has(id)) metrics.swept.inc({ kind: 'cgroup' });
    if (errors.length > 0) throw errors[0];
    if (truth.rootfs.has(id)) {
      await bus.call(image.ImageStore.methods.ReleaseRootfs, { containerId: id });
      metrics.swept.inc({ kind: 'rootfs' });
    }
  }
}

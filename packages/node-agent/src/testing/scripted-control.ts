import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  connectCluster,
  controlSubjects,
  createBusMetrics,
  serveMethods,
  type Bus,
  type CallContext,
  type Handlers,
  type ServiceKit,
  type Serving,
} from '@gantry/bus';
import { control, type Init } from '@gantry/protocol';
import { Registry } from 'prom-client';

export const quietLogger = {
  info() {},
  warn() {},
  error() {},
  debug() {},
  child: () => quietLogger,
} as unknown as ServiceKit['logger'];

export const busMetrics = createBusMetrics(new Registry());

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/** A real nats-server without authentication, on a port of its own. */
export class TestServer implements AsyncDisposable {
  readonly port: number;
  #child: ReturnType<typeof spawn> | undefined;

  private constructor(port: number) {
    this.port = port;
  }

  static async start(): Promise<TestServer> {
    const server = new TestServer(await freePort());
    server.resume();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  resume(): void {
    this.#child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(this.port)], { stdio: 'ignore' });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

const isAborted = (signal: AbortSignal): boolean => signal.aborted;

type Message = Init<control.WatchTasksResponse>;

/** A leader that says what a test tells it to, and remembers what it heard. */
export class ScriptedControl implements AsyncDisposable {
  readonly reports = new Map<string, control.TaskReport[]>();
  readonly watches: control.WatchTasksRequest[] = [];
  readonly renewals: control.RenewLeaseRequest[] = [];
  left = 0;
  /** What every message of WatchTasks says of its origin. */
  origin = { clusterId: 'c1', storeGeneration: 1, revision: 10, term: 1 };
  leaderNodeId = 'leader';
  tasks: readonly Init<control.Task>[] = [];
  view: Init<control.ClusterView> | undefined;
  /** Methods of Control that a test answers. */
  answers: Partial<Handlers<typeof control.Control>> = {};
  readonly #bus: Bus;
  #serving: Serving[] = [];
  #streams = new Set<(message: Message) => void>();

  private constructor(bus: Bus) {
    this.#bus = bus;
  }

  static async start(natsUrl: string): Promise<ScriptedControl> {
    const bus = await connectCluster('control', {
      nodeId: 'leader',
      natsUrl,
      nkeySeed: '',
      metrics: busMetrics,
    });
    const scripted = new ScriptedControl(bus);
    scripted.lead();
    return scripted;
  }

  lead(): void {
    const serve = (
      descriptor: typeof control.Dispatcher | typeof control.Control,
      handlers: object,
    ): Serving =>
      serveMethods({
        bus: this.#bus,
        descriptor,
        handlers: handlers as Readonly<Record<string, unknown>>,
        subjectOf: controlSubjects,
        metrics: busMetrics,
        logger: quietLogger,
        signal: new AbortController().signal,
      });
    const control_ = new Proxy(this.answers, {
      get: (_target, name) => this.answers[name as keyof typeof this.answers],
    });
    this.#serving = [serve(control.Dispatcher, this.#dispatcher()), serve(control.Control, control_)];
  }

  /** Nobody leads from now on. */
  async resign(): Promise<void> {
    await Promise.all(this.#serving.map((one) => one.stop()));
  }

  #dispatcher(): Handlers<typeof control.Dispatcher> {
    return {
      RenewLease: (request) => {
        this.renewals.push(request);
        return Promise.resolve({
          term: this.origin.term,
          leaseMs: 3_000,
          leaderNodeId: this.leaderNodeId,
          revision: this.origin.revision,
        });
      },
      ReportStatus: ({ reports }) => {
        for (const report of reports)
          this.reports.set(report.taskId, [...(this.reports.get(report.taskId) ?? []), report]);
        return Promise.resolve({ unknownTaskIds: [] });
      },
      LeaveCluster: () => {
        this.left += 1;
        return Promise.resolve({});
      },
      WatchTasks: (request, context) => this.#watch(request, context),
    };
  }

  async *#watch(request: control.WatchTasksRequest, { signal }: CallContext): AsyncGenerator<Message> {
    this.watches.push(request);
    const queue: Message[] = [
      { tasks: this.tasks.map((task) => ({ task })), view: this.view, complete: true },
    ];
    let wake: () => void = () => undefined;
    const push = (message: Message): void => {
      queue.push(message);
      wake();
    };
    this.#streams.add(push);
    signal.addEventListener('abort', () => wake(), { once: true });
    try {
      while (!signal.aborted) {
        for (let one = queue.shift(); one !== undefined; one = queue.shift())
          yield { ...this.origin, ...one };
        // It may have been aborted while the last one was on its way.
        if (!isAborted(signal)) await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#streams.delete(push);
    }
  }

  /** To everybody who watches. */
  say(message: Message): void {
    for (const push of this.#streams) push(message);
  }

  /** Adds or changes tasks, for those who watch and those who will. */
  order(...tasks: readonly Init<control.Task>[]): void {
    const ids = new Set(tasks.map(({ id }) => id));
    this.tasks = [...this.tasks.filter(({ id }) => !ids.has(id)), ...tasks];
    this.say({ tasks: tasks.map((task) => ({ task })) });
  }

  /** Latest state reported of a task: "TASK_STATE_RUNNING", or "removed". */
  stateOf(id: string): string {
    const latest = this.reports.get(id)?.at(-1);
    return latest?.removed === true ? 'removed' : (latest?.status?.state ?? '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.resign();
    await this.#bus.close();
  }
}

/** Waits at most ten seconds. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  for (let look = 0; look < 2_000 && !holds(); look += 1) await sleep(5);
  if (!holds()) throw new Error(`it did not come to it that ${what}`);
}

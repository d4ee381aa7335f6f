import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus, ServiceKit } from '@gantry/bus';
import { GantryError, node, type Init } from '@gantry/protocol';
import { Agent } from '../agent.js';
import { EventLog } from '../event-log.js';
import { createAgentMetrics } from '../metrics.js';
import { nodeFigures } from '../node-figures.js';
import { RecordStore } from '../record-store.js';
import { Registry } from '../registry.js';
import { VolumeStore } from '../volume-store.js';
import type { AgentContext, Caller } from '../context.js';
import { Registry as Figures } from 'prom-client';

type Answer = (request: Record<string, unknown>) => unknown;

function drop(held: Set<string>, id: string): object {
  held.delete(id);
  return {};
}

/** Four services in memory that keep what they are given; each answer can be replaced. For tests of order only. */
export class ScriptedServices {
  /** Every call, in order: "StartContainer". */
  readonly calls: string[] = [];
  readonly processes = new Map<string, { attempt: number; status: string; pid: number }>();
  readonly sandboxes = new Set<string>();
  readonly cgroups = new Set<string>();
  readonly rootfs = new Set<string>();
  /** Starts of each container that really made a process. */
  readonly started = new Map<string, number[]>();
  readonly answers: Record<string, Answer>;

  constructor() {
    const handle = (path: string) => ({ path, device: 1, inode: 1 });
    const idOf = (request: Record<string, unknown>): string => request.containerId as string;
    this.answers = {
      PrepareRootfs: (request) => {
        this.rootfs.add(idOf(request));
        const configJson = Buffer.from(JSON.stringify({ config: { Cmd: ['serve'] } }));
        return {
          imageId: 'sha256:1',
          lowerdirs: [handle('/nonexistent/layer')],
          writable: handle('/nonexistent/w'),
          configJson,
          reference: 'box:1',
        };
      },
      ReleaseRootfs: (request) => drop(this.rootfs, idOf(request)),
      ListRootfs: () => ({ containerIds: [...this.rootfs], nextPageToken: '' }),
      AttachSandbox: (request) => {
        this.sandboxes.add(idOf(request));
        return { sandbox: { ipAddress: '10.0.0.2', ports: [], dnsServers: ['10.0.0.1'], idBase: 1 } };
      },
      DetachSandbox: (request) => drop(this.sandboxes, idOf(request)),
      ListSandboxes: () => ({
        holders: [...this.sandboxes].map((containerId) => ({ containerId })),
        nextPageToken: '',
      }),
      CreateCgroup: (request) => {
        this.cgroups.add(idOf(request));
        return { cgroup: { version: 2, paths: [] } };
      },
      DestroyCgroup: (request) => drop(this.cgroups, idOf(request)),
      KillCgroup: (request) => {
        this.end(idOf(request));
        return { killedCount: 1 };
      },
      ListCgroups: () => ({ containerIds: [...this.cgroups], nextPageToken: '' }),
      GetCgroupInfo: () => ({ shimPaths: [] }),
      PullImage: () => [{ image: {} }],
      StartContainer: (request) => this.#start(idOf(request), request.attempt as number),
      GetContainer: (request) => ({ container: this.#state(idOf(request)) }),
      ListContainers: () => ({
        containers: [...this.processes.keys()].map((id) => this.#state(id)),
        nextPageToken: '',
      }),
      SignalContainer: () => ({}),
      DeleteContainer: (request) => {
        const found = this.processes.get(idOf(request));
        if (found?.status === 'running') throw failure('failed_precondition', 'it runs');
        this.processes.delete(idOf(request));
        return {};
      },
    };
  }

  #start(id: string, attempt: number) {
    const known = this.processes.get(id);
    if (known?.status === 'running' && known.attempt !== attempt) throw new Error('two running attempts');
    if (known?.attempt !== attempt) {
      this.processes.set(id, { attempt, status: 'running', pid: 1000 + attempt });
      this.started.set(id, [...(this.started.get(id) ?? []), attempt]);
    }
    return { pid: 1000 + attempt, shimPid: 1, startedUnixNanos: Date.now() * 1e6 };
  }

  #state(id: string) {
    const found = this.processes.get(id);
    if (found === undefined) throw failure('not_found', `no process of ${id}`);
    const exit =
      found.status === 'exited'
        ? { exitCode: 7, signal: 0, exitedUnixNanos: Date.now() * 1e6, oomKillCount: 0, lost: false }
        : undefined;
    return { containerId: id, ...found, shimPid: 1, startedUnixNanos: 1, exit };
  }

  /** The process ends; no event is sent. */
  end(id: string): void {
    const found = this.processes.get(id);
    if (found !== undefined) this.processes.set(id, { ...found, status: 'exited' });
  }

  readonly bus: Caller = {
    call: (async (method: { readonly name: string }, request: Record<string, unknown>) => {
      this.calls.push(method.name);
      // Answers come later, as on a bus.
      await new Promise((resolve) => setImmediate(resolve));
      const answer = this.answers[method.name];
      if (answer === undefined) throw new Error(`${method.name} is not in the script`);
      return answer(request);
    }) as Bus['call'],
    openStream: (async (method: { readonly name: string }, request: Record<string, unknown>) => {
      this.calls.push(method.name);
      await new Promise((resolve) => setImmediate(resolve));
      const answer = this.answers[method.name];
      if (answer === undefined) throw new Error(`${method.name} is not in the script`);
      return answer(request);
    }) as unknown as Bus['openStream'],
  };
}

export function failure(code: GantryError['code'], message: string): GantryError {
  return new GantryError({ code, operation: 'script', message });
}

const quiet = { info() {}, warn() {}, error() {}, debug() {} } as unknown as ServiceKit['logger'];

/** An agent over scripted services, with a state directory of its own; another one on the same directory is its successor. */
export class ScriptedAgent implements AsyncDisposable {
  readonly directory: string;
  readonly services: ScriptedServices;
  readonly agent: Agent;
  readonly actions: string[] = [];
  readonly #stopped = new AbortController();

  constructor(
    services = new ScriptedServices(),
    directory = mkdtempSync(join(tmpdir(), 'gantry-test-agent-')),
  ) {
    this.services = services;
    this.directory = directory;
    const context: AgentContext = {
      bus: services.bus,
      config: {
        state_dir: directory,
        run_dir: directory,
        reconcile_interval_ms: 3_600_000,
        stop_timeout_seconds: 10,
        log_max_size_bytes: 1024,
        log_max_files: 1,
        kept_events: 100,
        cluster: { address: '', leaf_port: 4323, route_port: 4324, api_port: 4330 },
      },
      logger: quiet,
      metrics: createAgentMetrics(new Figures(), nodeFigures(new Registry(), directory)),
      records: new RecordStore(directory),
      volumes: new VolumeStore(directory),
      events: new EventLog(100, (event) => this.actions.push(event.action)),
      bootId: 'boot',
      nodeId: 'node',
      version: '0',
      signal: this.#stopped.signal,
    };
    this.agent = new Agent(context, new Registry());
  }

  async create(spec: Init<node.ContainerSpec> = {}, name = '') {
    const whole = node.ContainerSpecCodec.decode(node.ContainerSpecCodec.encode({ image: 'box', ...spec }));
    return (await this.agent.create({ name, spec: whole, idempotencyKey: '' })).container;
  }

  /** The agent dies and another takes its place: nothing is handed over but what is on disk and in the services. */
  async successor(): Promise<ScriptedAgent> {
    this.#die();
    const next = new ScriptedAgent(this.services, this.directory);
    await next.agent.load();
    return next;
  }

  #die(): void {
    this.#stopped.abort();
    this.agent.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#die();
    // Writes that were on their way.
    await new Promise((resolve) => setTimeout(resolve, 5));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

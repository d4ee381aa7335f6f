import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeArchive, type ImageSource } from '@gantry/demo';
import { mustRun, runCommand, type CommandOptions, type CommandResult } from './command.js';
import { readHostState, type HostState, type Territory } from './host-state.js';
import { boxImage } from './images.js';
import { readApiLines, requestApi, type ApiAnswer } from './api-request.js';
import { NetworkNamespace } from './network-namespace.js';
import type { LanPlace } from './private-network.js';
import { takeSlot, type Slot } from './slot.js';
import { unitLimits } from './unit-limits.js';
import { eventually } from './wait.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** One process for all services, or one each within the limits of its systemd unit: everything must hold both ways. */
export type Mode = 'one-process' | 'separate';
export const modes: readonly Mode[] = ['one-process', 'separate'];

/** Names of the processes of a node, in an order they may be started in. */
export const separateProcesses = [
  'nats',
  'image-store',
  'network-manager',
  'cgroup-supervisor',
  'spawner',
  'node-agent',
  'api',
] as const;

export interface TestNodeOptions {
  readonly mode: Mode;
  /** Images loaded before the test begins; the box image when absent. */
  readonly images?: readonly ImageSource[];
  /** More of gantry.yaml, by section. */
  readonly config?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Give the node's network an outside: 192.0.2.1 here, 192.0.2.2 there. */
  readonly outside?: boolean;
  /** Put the node on a network with others, under a host name of its own. */
  readonly lan?: LanPlace;
  /** Put the state directory on a file system of this size, "16m", which can then be full. */
  readonly stateSize?: string;
  /** Where the node's directory is made; /var/tmp when absent. */
  readonly parentDirectory?: string;
}

/** A node of its own: directories, network, bridge, subnet, ids, cgroups, ports. Nothing of it touches another's. */
export class TestNode {
  readonly mode: Mode;
  readonly directory: string;
  readonly stateDirectory: string;
  readonly runDirectory: string;
  readonly configFile: string;
  readonly cgroupRoot: string;
  readonly bridge: string;
  readonly subnetPrefix: string;
  readonly idBase: number;
  readonly natsPort: number;
  readonly network: NetworkNamespace;
  readonly outside: NetworkNamespace | undefined;
  readonly #slot: Slot;
  readonly #options: TestNodeOptions;
  readonly #processes = new Map<string, ChildProcess>();

  private constructor(
    options: TestNodeOptions,
    slot: Slot,
    network: NetworkNamespace,
    outside: NetworkNamespace | undefined,
  ) {
    const { number } = slot;
    this.#slot = slot;
    this.network = network;
    this.outside = outside;
    this.mode = options.mode;
    this.directory = join(options.parentDirectory ?? '/var/tmp', `gantry-test-${number}`);
    this.stateDirectory = join(this.directory, 'state');
    this.runDirectory = join(this.directory, 'run');
    this.configFile = join(this.directory, 'gantry.yaml');
    this.cgroupRoot = `gantry-test-${number}`;
    this.bridge = `gtb${number}`;
    this.subnetPrefix = `10.${120 + number}`;
    this.idBase = 0x30000000 + number * 0x400000;
    this.natsPort = 4322;
    this.#options = options;
  }

  /** Starts a node and loads the images. Whatever fails on the way is taken back. */
  static async start(options: TestNodeOptions): Promise<TestNode> {
    const slot = takeSlot();
    const network = await NetworkNamespace.create(`gantry-test-${slot.number}`);
    const outside =
      options.outside === true ? await NetworkNamespace.create(`gantry-test-${slot.number}-out`) : undefined;
    const node = new TestNode(options, slot, network, outside);
    try {
      await node.#prepareDirectory();
      if (options.stateSize !== undefined) {
        mkdirSync(node.stateDirectory);
        await mustRun('mount', [
          '-t',
          'tmpfs',
          '-o',
          `size=${options.stateSize}`,
          'tmpfs',
          node.stateDirectory,
        ]);
      }
      if (outside !== undefined) {
        await network.connect(outside, '192.0.2.1/24', '192.0.2.2/24');
        await network.mustRun('ip', ['route', 'add', 'default', 'via', '192.0.2.2']);
      }
      if (options.lan !== undefined) await options.lan.network.plugIn(network, options.lan.address);
      await node.startAll();
      for (const image of options.images ?? [boxImage()]) await node.load(image);
      return node;
    } catch (error) {
      const log = node.readLogs().slice(-3000);
      await node.destroy();
      throw new Error(`the test node did not start; its log ends with:\n${log}`, { cause: error });
    }
  }

  /** An empty directory with the configuration; what a killed test left in this slot goes first. */
  async #prepareDirectory(): Promise<void> {
    await this.#killEverything();
    await runCommand('umount', ['-l', this.stateDirectory]);
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory, { recursive: true });
    writeFileSync(this.configFile, JSON.stringify(this.#config(this.#options.config ?? {})));
  }

  #config(more: Readonly<Record<string, Readonly<Record<string, unknown>>>>): object {
    const standard: Record<string, Record<string, unknown>> = {
      nats: { port: this.natsPort },
      // Its own network namespace: the usual ports are free there.
      metrics: { base_port: 9464 },
      network_manager: {
        bridge: this.bridge,
        subnet: `${this.subnetPrefix}.0.0/16`,
        pool_size: 2,
        id_base: this.idBase,
        id_ranges: 64,
      },
      cgroup_supervisor: { cgroup_root: this.cgroupRoot },
    };
    for (const [section, values] of Object.entries(more))
      standard[section] = { ...standard[section], ...values };
    return { state_dir: this.stateDirectory, run_dir: this.runDirectory, log_level: 'info', ...standard };
  }

  get processNames(): readonly string[] {
    if (this.mode === 'one-process') return ['gantryd'];
    // A process that idles while its node is no control node.
    return this.#options.lan === undefined ? separateProcesses : [...separateProcesses, 'control'];
  }

  get socket(): string {
    return join(this.runDirectory, 'api.sock');
  }

  /** Of `lan`. */
  get address(): string {
    if (this.#options.lan === undefined) throw new Error('this node is on no private network');
    return this.#options.lan.address;
  }

  get territory(): Territory {
    return { directories: [this.directory], cgroupRoot: this.cgroupRoot, network: this.network };
  }

  /** Starts every process that does not run and waits until the node answers. */
  async startAll(): Promise<void> {
    for (const name of this.processNames) if (!this.isRunning(name)) this.launch(name);
    for (const name of this.processNames) await this.waitUntilReady(name);
  }

  /** Starts one process without waiting for it. */
  launch(name: string): void {
    const log = openSync(join(this.directory, `${name}.log`), 'a');
    const gantryd = [join(root, 'bin/gantryd'), '--config', this.configFile];
    const [program = '', ...words] =
      name === 'gantryd' ? gantryd : [...unitLimits(name), ...gantryd, '--service', name];
    const [wrapper, wrapped] = this.network.wrap(...this.#named(program, words));
    const child = spawn(wrapper, wrapped, { stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    this.#processes.set(name, child);
  }

  /** The same under the host name of `lan`; each of these programs becomes the next, so the process number stays. */
  #named(program: string, words: readonly string[]): readonly [string, readonly string[]] {
    const { lan } = this.#options;
    if (lan === undefined) return [program, words];
    const script = 'hostname "$0" && exec "$@"';
    return ['unshare', ['--uts', 'sh', '-c', script, lan.hostname, program, ...words]];
  }

  async waitUntilReady(name: string): Promise<void> {
    const child = this.#processes.get(name);
    const file = join(this.runDirectory, name === 'gantryd' ? 'gantryd.json' : `gantryd-${name}.json`);
    await eventually(
      `${name} is ready`,
      () => {
        if (child?.exitCode !== null)
          throw new Error(`${name} ended with ${child?.exitCode}: ${this.readLogs().slice(-1500)}`);
        return (
          existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid === child.pid
        );
      },
      20_000,
    );
  }

  /** The id that the node chose for itself at its first start. */
  readNodeId(): string {
    return readFileSync(join(this.stateDirectory, 'node-id'), 'utf8').trim();
  }

  isRunning(name: string): boolean {
    const child = this.#processes.get(name);
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  pidOf(name: string): number {
    const pid = name === 'nats-server' ? this.#natsServerPid() : this.#processes.get(name)?.pid;
    if (pid === undefined) throw new Error(`${name} does not run`);
    return pid;
  }

  /** SIGKILL, and gone when this resolves. "nats-server" is a name too. */
  async kill(name: string): Promise<void> {
    const pid = this.pidOf(name);
    process.kill(pid, 'SIGKILL');
    if (name === 'nats-server') {
      await eventually('nats-server is gone', () => this.#natsServerPid() !== pid);
    } else {
      await this.#ended(name);
    }
  }

  /** Asks one process to end and resolves with its exit code. */
  async terminate(name: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    this.#processes.get(name)?.kill(signal);
    return this.#ended(name);
  }

  async #ended(name: string): Promise<number> {
    const child = this.#processes.get(name);
    if (child === undefined) return 0;
    await eventually(`${name} has ended`, () => child.exitCode !== null || child.signalCode !== null, 30_000);
    this.#processes.delete(name);
    return child.exitCode ?? 137;
  }

  #natsServerPid(): number | undefined {
    try {
      const pid = Number(readFileSync(join(this.runDirectory, 'nats/nats.pid'), 'utf8'));
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(this.runDirectory) ? pid : undefined;
    } catch {
      return undefined;
    }
  }

  /** Runs the command line against this node. */
  gantry(words: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(join(root, 'bin/gantry'), words, {
      ...options,
      environment: { ...this.environment, ...options.environment },
    });
  }

  /** Runs the command line; fails unless it exits with 0. Resolves with its output, without the last line feed. */
  async must(...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.gantry(words);
    if (code !== 0)
      throw new Error(`gantry ${words.join(' ')} ended with ${code}: ${stderr.trim()}\n${stdout.trim()}`);
    return stdout.replace(/\n$/, '');
  }

  /** One request to the api's socket, without the command line: what it answers, whatever that is. */
  api(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    return requestApi(this.socket, method, path, body);
  }

  /** A stream of the api, line by line. */
  apiLines(path: string): AsyncGenerator {
    return readApiLines(this.socket, path);
  }

  get environment(): Readonly<Record<string, string>> {
    return {
      GANTRY_HOST: `unix://${this.socket}`,
      GANTRY_CONFIG: this.configFile,
      GANTRY_RUN_DIR: this.runDirectory,
      GANTRY_STATE_DIR: this.stateDirectory,
    };
  }

  async load(image: ImageSource): Promise<void> {
    const archive = join(this.directory, 'image.tar');
    writeArchive(archive, [image]);
    await this.must('load', '-q', '-i', archive);
    rmSync(archive);
  }

  async inspect(container: string): Promise<ContainerFacts> {
    const [facts] = JSON.parse(await this.must('inspect', container)) as ContainerFacts[];
    if (facts === undefined) throw new Error(`inspect ${container} printed nothing`);
    return facts;
  }

  async readState(): Promise<HostState> {
    const state = await readHostState(this.territory);
    // The file system of `stateSize` is the test's, not the node's.
    return { ...state, mounts: state.mounts.filter((mount) => mount !== this.stateDirectory) };
  }

  readLogs(): string {
    return this.processNames
      .map((name) => join(this.directory, `${name}.log`))
      .filter((path) => existsSync(path))
      .map((path) => readFileSync(path, 'utf8').slice(-20_000))
      .join('');
  }

  /** Removes every container and volume: what a test may leave for the next. */
  async removeContainers(): Promise<void> {
    const ids = (await this.must('ps', '-a', '-q')).split('\n').filter((id) => id !== '');
    if (ids.length > 0) await this.must('rm', '-f', '-v', ...ids);
    const volumes = (await this.must('volume', 'ls', '-q')).split('\n').filter((name) => name !== '');
    if (volumes.length > 0) await this.must('volume', 'rm', ...volumes);
  }

  /** Takes the node down as "gantry down" does. Resolves with what is left on the machine. */
  async stop(): Promise<HostState> {
    const { code, stderr } = await this.network.run(join(root, 'bin/gantryd'), [
      '--config',
      this.configFile,
      '--stop',
    ]);
    if (code !== 0)
      throw new Error(`gantryd --stop ended with ${code}: ${stderr}\n${this.readLogs().slice(-2000)}`);
    for (const name of this.processNames) await this.#ended(name);
    return this.readState();
  }

  /** Leaves what a loss of power leaves: the state directory. The boot id stays, which a test cannot change. */
  async simulateReboot(): Promise<void> {
    await this.#killEverything();
    this.#processes.clear();
    rmSync(this.runDirectory, { recursive: true, force: true });
    for (const link of (await this.readState()).links) await this.network.run('ip', ['link', 'del', link]);
    await this.network.run('nft', ['flush', 'ruleset']);
    // Of every interface by its own name: writing "all" changes nothing where "all" is 0 already.
    const forget = 'for file in /proc/sys/net/ipv4/conf/*/forwarding; do echo 0 >$file; done';
    await this.network.mustRun('sh', ['-c', forget]);
  }

  async #killEverything(): Promise<void> {
    for (const child of this.#processes.values()) if (child.exitCode === null) child.kill('SIGKILL');
    for (let round = 0; round < 20; round += 1) {
      const { processes } = await this.readState();
      if (processes.length === 0) break;
      for (const line of processes) {
        try {
          process.kill(Number(line.split(' ')[0]), 'SIGKILL');
        } catch {
          // gone already
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { mounts, cgroups } = await this.readState();
    for (const mount of [...mounts].reverse()) await runCommand('umount', ['-l', mount]);
    for (const cgroup of [...cgroups].reverse()) await runCommand('rmdir', [cgroup]);
  }

  /** Takes everything back by force, whatever state it is in. Never fails: a failed test has said enough. */
  async destroy(): Promise<void> {
    await this.#killEverything();
    await runCommand('umount', ['-l', this.stateDirectory]);
    await this.network.remove();
    await this.outside?.remove();
    rmSync(this.directory, { recursive: true, force: true });
    this.#slot.release();
  }
}

/** The part of `inspect` that tests look at. */
export interface ContainerFacts {
  readonly Id: string;
  readonly Name: string;
  readonly RestartCount: number;
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly Paused: boolean;
    readonly OOMKilled: boolean;
    readonly Pid: number;
    readonly ExitCode: number;
    readonly Health?: { readonly Status: string };
  };
  readonly NetworkSettings: { readonly IPAddress: string; readonly Ports: Readonly<Record<string, unknown>> };
  readonly Mounts: readonly {
    readonly Type: string;
    readonly Destination: string;
    readonly Source: string;
    readonly Name?: string;
  }[];
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return address.port;
}

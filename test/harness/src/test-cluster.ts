import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageSource } from '@gantry/demo';
import type { control } from '@gantry/protocol';
import type { CommandOptions, CommandResult } from './command.js';
import { PrivateNetwork } from './private-network.js';
import { takeSlot, type Slot } from './slot.js';
import { TestNode, type Mode, type TestNodeOptions } from './test-node.js';
import { eventually } from './wait.js';

export type HostRole = 'control' | 'worker';

type HostConfig = NonNullable<TestNodeOptions['config']>;

export interface TestClusterOptions {
  /** Three when absent. */
  readonly hosts?: number;
  readonly mode?: Mode;
  /** Loaded on each host; the box image when absent. */
  readonly images?: readonly ImageSource[];
  /** More of each host's gantry.yaml, by section; or of one host's, by its number. */
  readonly config?: HostConfig | ((host: number) => HostConfig);
  readonly parentDirectory?: string;
}

/** A container of a task as one host lists it. */
export interface TaskContainer {
  readonly host: number;
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly taskId: string;
}

const containersOfTasks = `/v1/containers?all=true&filter=${encodeURIComponent('label=gantry.task.id')}`;

/**
 * Hosts on one machine: each has a network namespace, directories, ids and cgroups of its own, and a cable to a switch
 * that only they are on. What befalls a machine can befall each.
 */
export class TestCluster {
  readonly network: PrivateNetwork;
  readonly hosts: readonly TestNode[];
  /** For the test's own files. */
  readonly directory: string;
  readonly #dead = new Set<number>();
  readonly #nodeIds = new Map<number, string>();

  readonly #slot: Slot;

  private constructor(slot: Slot, network: PrivateNetwork, hosts: readonly TestNode[], directory: string) {
    this.#slot = slot;
    this.network = network;
    this.hosts = hosts;
    this.directory = directory;
  }

  /** Hosts that run and know nothing of each other yet. */
  static async start(options: TestClusterOptions = {}): Promise<TestCluster> {
    const { hosts: count = 3, mode = 'one-process', images, config, parentDirectory } = options;
    const slot = takeSlot();
    const name = `gantry-test-${slot.number}`;
    const network = await PrivateNetwork.create(`${name}-lan`);
    const machines = Array.from({ length: count }, (_, machine) =>
      TestNode.start({
        mode,
        lan: { network, address: network.addressOf(machine), hostname: `host${machine + 1}` },
        ...(images === undefined ? {} : { images }),
        ...(config === undefined ? {} : { config: typeof config === 'function' ? config(machine) : config }),
        ...(parentDirectory === undefined ? {} : { parentDirectory }),
      }),
    );
    const results = await Promise.allSettled(machines);
    const hosts = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failed = results.find((result) => result.status === 'rejected');
    const directory = join(parentDirectory ?? '/var/tmp', `${name}-cluster`);
    const cluster = new TestCluster(slot, network, hosts, directory);
    if (failed !== undefined) {
      await cluster.destroy();
      throw failed.reason;
    }
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    return cluster;
  }

  /** Hosts that are a cluster: the first is its control node, the others join with these roles. */
  static async form(roles: readonly HostRole[], options: TestClusterOptions = {}): Promise<TestCluster> {
    const cluster = await TestCluster.start({ ...options, hosts: roles.length + 1 });
    try {
      await cluster.init();
      for (const [index, role] of roles.entries()) await cluster.join(index + 1, role);
      const wanted: HostRole[] = ['control', ...roles];
      await cluster.waitUntilReady(
        wanted.map((_role, index) => index),
        wanted.filter((role) => role === 'control').length,
      );
      return cluster;
    } catch (error) {
      const log = cluster.readLogs();
      await cluster.destroy();
      throw new Error(`the test cluster did not form; its logs end with:\n${log}`, { cause: error });
    }
  }

  host(index: number): TestNode {
    const host = this.hosts[index];
    if (host === undefined) throw new Error(`there are ${this.hosts.length} hosts, no number ${index}`);
    return host;
  }

  /** The cable of a host, by its number. */
  addressOf(index: number): string {
    return this.network.addressOf(index);
  }

  isAlive(index: number): boolean {
    return !this.#dead.has(index);
  }

  get living(): readonly number[] {
    return this.hosts.map((_host, index) => index).filter((index) => this.isAlive(index));
  }

  async init(index = 0): Promise<void> {
    await this.host(index).must('cluster', 'init', '--address', this.addressOf(index));
  }

  /** A token that one node may join with. */
  async createToken(role: HostRole, { on = 0, ttl }: { on?: number; ttl?: string } = {}): Promise<string> {
    const words = ['cluster', 'token', ...(role === 'control' ? ['--control'] : [])];
    const output = await this.host(on).must(...words, ...(ttl === undefined ? [] : ['--ttl', ttl]));
    const token = /gj1\.[\w.-]+/.exec(output)?.[0];
    if (token === undefined) throw new Error(`gantry ${words.join(' ')} printed no token: ${output}`);
    return token;
  }

  async join(index: number, role: HostRole, to = 0): Promise<void> {
    const token = await this.createToken(role, { on: to });
    const { code, stderr } = await this.tryJoin(index, token, to);
    if (code !== 0) throw new Error(`host ${index} could not join: ${stderr}`);
  }

  /** The join as the user types it, with whatever token. */
  tryJoin(index: number, token: string, to = 0): Promise<CommandResult> {
    const address = ['--address', this.addressOf(index)];
    return this.host(index).gantry(['cluster', 'join', this.addressOf(to), '--token', token, ...address]);
  }

  /** What the node calls itself on the bus. */
  nodeId(index: number): string {
    const known = this.#nodeIds.get(index) ?? this.host(index).readNodeId();
    this.#nodeIds.set(index, known);
    return known;
  }

  indexOf(nodeId: string): number {
    return this.hosts.findIndex((_host, index) => this.nodeId(index) === nodeId);
  }

  gantry(words: readonly string[], options: CommandOptions & { on?: number } = {}): Promise<CommandResult> {
    return this.host(options.on ?? 0).gantry(words, options);
  }

  /** Runs the command line on the first host that lives; fails unless it exits with 0. */
  must(...words: readonly string[]): Promise<string> {
    return this.host(this.living[0] ?? 0).must(...words);
  }

  /** A document of the api of a host; fails unless the answer is a good one. */
  async get<T>(path: string, on = 0): Promise<T> {
    const { status, body } = await this.host(on).api('GET', path);
    if (status !== 200) throw new Error(`GET ${path} on host ${on}: ${status} ${JSON.stringify(body)}`);
    return body as T;
  }

  async listNodes(on = 0): Promise<readonly control.Node[]> {
    return (await this.get<control.ListNodesResponse>('/v1/nodes', on)).nodes;
  }

  async readCluster(on = 0): Promise<control.GetClusterResponse> {
    return this.get('/v1/cluster', on);
  }

  /** Tasks of a stack as control knows them. */
  async listTasks(stack: string, on = 0): Promise<readonly control.Task[]> {
    return (await this.get<control.ListTasksResponse>(`/v1/stacks/${stack}/tasks`, on)).tasks;
  }

  /** Those that run now and are to. */
  async runningTasks(stack: string, on = 0): Promise<readonly control.Task[]> {
    return (await this.listTasks(stack, on)).filter(
      ({ desired, status }) => desired === 'DESIRED_STATE_RUNNING' && status?.state === 'TASK_STATE_RUNNING',
    );
  }

  /** Containers of tasks on every host that lives, asked of the hosts themselves: control may be wrong. */
  async listTaskContainers(): Promise<readonly TaskContainer[]> {
    const lists = await Promise.all(
      this.living.map(async (host) => {
        const { containers } = await this.get<{ containers: ListedContainer[] }>(containersOfTasks, host);
        return containers.map(({ id, name, state, labels }) => ({
          ...{ host, id, name, state },
          taskId: labels['gantry.task.id'] ?? '',
        }));
      }),
    );
    return lists.flat();
  }

  /** Until these hosts are ready in the eyes of control and, where asked, so many are control nodes that take part. */
  async waitUntilReady(indices: readonly number[], controlNodes?: number, on = 0): Promise<void> {
    await eventually(
      `hosts ${indices.join(', ')} are ready`,
      async () => {
        const nodes = await this.listNodes(on);
        const ready = (index: number): boolean =>
          nodes.some(
            ({ record, condition }) =>
              record?.nodeId === this.nodeId(index) && condition === 'NODE_CONDITION_READY',
          );
        if (!indices.every(ready)) return false;
        return controlNodes === undefined || (await this.readCluster(on)).controlNodes === controlNodes;
      },
      40_000,
    );
  }

  /** A compose file for the tests: its path. */
  writeFile(name: string, content: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, content);
    return path;
  }

  /** Deploys and waits until all runs. */
  async deploy(stack: string, content: string, ...more: readonly string[]): Promise<string> {
    const file = this.writeFile(`${stack}.yaml`, content);
    return this.must('stack', 'deploy', '-c', file, '--detach=false', ...more, stack);
  }

  /** Removes every stack, and waits until no host has a container of a task. */
  async removeStacks(on = 0): Promise<void> {
    const { stacks } = await this.get<control.ListStacksResponse>('/v1/stacks', on);
    for (const { name, removing } of stacks)
      if (!removing)
        // A member that was cut off makes the store elect anew when it is back: the leader may change under this.
        await eventually(
          `stack ${name} is being removed`,
          async () => (await this.host(on).gantry(['stack', 'rm', name])).code === 0,
          20_000,
        );
    await eventually(
      'all tasks are gone',
      async () =>
        (await this.get<control.ListStacksResponse>('/v1/stacks', on)).stacks.length === 0 &&
        (await this.listTaskContainers()).length === 0,
      30_000,
    );
  }

  /** The cable is out: what is sent either way is lost. */
  async cutLink(index: number): Promise<void> {
    await this.network.cut(this.addressOf(index));
  }

  async restoreLink(index: number): Promise<void> {
    await this.network.restore(this.addressOf(index));
  }

  /** A power cut: its cable first, so that nobody is told, then every process, shim and container of it. */
  async killHost(index: number): Promise<void> {
    this.nodeId(index);
    this.#dead.add(index);
    await this.cutLink(index);
    await this.host(index).simulateReboot();
  }

  /** Power is back; resolves when the node answers by itself. */
  async bringBack(index: number): Promise<void> {
    await this.restoreLink(index);
    await this.host(index).startAll();
    this.#dead.delete(index);
  }

  /** Every cable in its place, every host and Gantry on it running: what a failed test may have left otherwise. */
  async heal(): Promise<void> {
    for (const [index, host] of this.hosts.entries()) {
      await this.restoreLink(index);
      if (!this.isAlive(index)) await this.bringBack(index);
      else await host.startAll();
    }
    await this.waitUntilReady(this.living);
  }

  /** Only Gantry goes: shims and containers stay. SIGKILL leaves nats-server too. */
  async killGantryd(index: number, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const host = this.host(index);
    for (const name of host.processNames) {
      if (signal === 'SIGKILL') await host.kill(name);
      else await host.terminate(name, signal);
    }
  }

  readLogs(): string {
    return this.hosts.map((host, index) => `--- host ${index}\n${host.readLogs().slice(-3_000)}`).join('\n');
  }

  /** Takes everything back by force. Never fails: a failed test has said enough. */
  async destroy(): Promise<void> {
    for (const host of this.hosts) await host.destroy();
    await this.network.remove();
    rmSync(this.directory, { recursive: true, force: true });
    this.#slot.release();
  }
}

interface ListedContainer {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
}

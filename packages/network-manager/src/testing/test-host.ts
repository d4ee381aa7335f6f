import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GantryError, type ErrorCode, type Init, type network } from '@gantry/protocol';
import type { NetworkManagerConfig } from '../config.js';
import type { MethodName, ProcessReply, ProcessRequest } from './network-process.js';

const callTimeoutMs = 20_000;
const bridge = 'gantrytest0';

export const isRoot = process.getuid?.() === 0;
/** For `test(..., { skip })`. */
export const needsRoot = isRoot ? false : 'needs root: it makes network namespaces';

export function newContainerId(): string {
  return randomBytes(32).toString('hex');
}

type Requests = {
  [M in MethodName]: (typeof network.NetworkManager.methods)[M] extends {
    request: { encode(value: infer R): unknown };
    response: { decode(bytes: Uint8Array): infer A };
  }
    ? { request: R; answer: A }
    : never;
};

/**
 * A host made of network namespaces: the node's network runs in one, with an uplink (192.0.2.1) to another that stands
 * for the world outside (192.0.2.2). Nothing in it touches the machine's own links or rules.
 */
export class TestHost {
  readonly name = `gantry-test-net-${randomBytes(4).toString('hex')}`;
  readonly outside = `${this.name}-out`;
  readonly runDirectory = mkdtempSync(join(tmpdir(), 'gantry-test-net-'));
  readonly bridge = bridge;
  readonly table = `gantry_${bridge}`;
  readonly #config: Partial<NetworkManagerConfig>;
  readonly #children = new Set<ChildProcess>();
  readonly #waiting = new Map<number, (reply: ProcessReply) => void>();
  #service: ChildProcess | undefined;
  #nextId = 1;

  private constructor(config: Partial<NetworkManagerConfig>) {
    this.#config = config;
  }

  /** Runs `use` on a fresh host and takes everything away afterwards, also when it fails; then asserts that nothing is left. */
  static async with(
    config: Partial<NetworkManagerConfig>,
    use: (host: TestHost) => Promise<void>,
  ): Promise<void> {
    const host = new TestHost({ pool_size: 2, ...config });
    try {
      host.#makeNamespaces();
      await host.start();
      await use(host);
    } finally {
      await host.#clean();
    }
  }

  /** Starts the service process; resolves when it serves. */
  async start(): Promise<void> {
    const config: NetworkManagerConfig = {
      state_dir: this.runDirectory,
      run_dir: this.runDirectory,
      bridge,
      subnet: '10.88.0.0/16',
      pool_size: 2,
      id_base: 0x20000000,
      id_ranges: 4096,
      host_port_range: '32768-60999',
      guarded_ports: [],
      ...this.#config,
    };
    const script = fileURLToPath(new URL('./network-process.js', import.meta.url));
    const child = spawn(
      'nsenter',
      [`--net=/run/netns/${this.name}`, process.execPath, script, JSON.stringify(config)],
      {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      },
    );
    this.#service = child;
    await new Promise<void>((resolve, reject) => {
      this.#waiting.set(0, () => resolve());
      child.on('message', (message) => {
        const reply = message as ProcessReply;
        const settle = this.#waiting.get(reply.id);
        this.#waiting.delete(reply.id);
        settle?.(reply);
      });
      child.once('exit', (code, signal) => {
        reject(new Error(`the service ended with ${signal ?? code}`));
        for (const [id, settle] of this.#waiting)
          settle({ id, error: { code: 'unavailable', message: 'the service is gone' } });
        this.#waiting.clear();
      });
    });
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    const child = this.#service;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** A graceful stop. */
  async stop(): Promise<void> {
    const child = this.#service;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    await this.#send('stop', {});
    await gone;
  }

  async call<M extends MethodName>(
    method: M,
    request: Requests[M]['request'],
  ): Promise<Requests[M]['answer']> {
    return (await this.#send(method, request as Record<string, unknown>)) as Requests[M]['answer'];
  }

  /** Waits until the pool is full and everything given back is gone. */
  async settle(): Promise<void> {
    await this.#send('settle', {});
  }

  async check(): Promise<string[]> {
    return (await this.#send('check', {})) as string[];
  }

  /** Attaches a container of its own to the bridge. */
  async attach(
    request: Init<network.AttachSandboxRequest> = {},
  ): Promise<network.Sandbox & { containerId: string; net: string }> {
    const containerId = request.containerId ?? newContainerId();
    const { sandbox } = await this.call('AttachSandbox', {
      networkMode: 'NETWORK_MODE_BRIDGE',
      userMode: 'USER_NAMESPACE_MODE_PRIVATE',
      ...request,
      containerId,
    });
    assert.ok(sandbox);
    return { ...sandbox, containerId, net: sandbox.networkNamespace?.path ?? '' };
  }

  /** Runs a command inside a network namespace, given as a path or as the name of one of the host's; answers what it prints. */
  run(namespace: string, command: string, ...words: string[]): string {
    const path = namespace.startsWith('/') ? namespace : `/run/netns/${namespace}`;
    return execFileSync('nsenter', [`--net=${path}`, command, ...words], {
      encoding: 'utf8',
      timeout: 15_000,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** The same; undefined when it fails. */
  tryRun(namespace: string, command: string, ...words: string[]): string | undefined {
    try {
      return this.run(namespace, command, ...words);
    } catch {
      return undefined;
    }
  }

  /** Starts a server that answers with the peer's address. */
  async serve(namespace: string, protocol: 'tcp' | 'udp', port: number, address = '0.0.0.0'): Promise<void> {
    const path = namespace.startsWith('/') ? namespace : `/run/netns/${namespace}`;
    const script = fileURLToPath(new URL('./echo-server.js', import.meta.url));
    const child = spawn(
      'nsenter',
      [`--net=${path}`, process.execPath, script, protocol, String(port), address],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.#children.add(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
    });
  }

  /** The address by which a server of `serve` saw us; undefined when it cannot be reached. */
  async askPeer(
    namespace: string,
    address: string,
    port: number,
    protocol: 'tcp' | 'udp' = 'tcp',
    ownPort = 0,
  ): Promise<string | undefined> {
    const path = namespace.startsWith('/') ? namespace : `/run/netns/${namespace}`;
    const command =
      protocol === 'udp'
        ? [
            process.execPath,
            fileURLToPath(new URL('./ask-udp.js', import.meta.url)),
            address,
            String(port),
            String(ownPort),
          ]
        : ['sh', '-c', `echo hello | busybox nc -w 1 ${address} ${port}`];
    const child = spawn('nsenter', [`--net=${path}`, ...command], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await new Promise((resolve) => child.once('close', resolve));
    return /^peer (\S+)/.exec(text)?.[1];
  }

  /** Names of the links in the host, without loopback and the uplink. */
  links(): string[] {
    return (JSON.parse(this.run(this.name, 'ip', '-j', 'link')) as { ifname: string }[])
      .map((link) => link.ifname)
      .filter((name) => name !== 'lo' && name !== 'uplink');
  }

  /** Mount points below the run directory. */
  mounts(): string[] {
    return readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((path) => path.startsWith(`${this.runDirectory}/`));
  }

  ruleset(): string {
    return this.run(this.name, 'nft', 'list', 'ruleset');
  }

  /** Takes the node down and asserts that nothing is left of it. */
  async expectNothingLeft(): Promise<void> {
    const { removed } = await this.call('TearDown', {});
    assert.equal(removed, true);
    assert.deepEqual(this.links(), []);
    assert.deepEqual(this.mounts(), []);
    assert.equal(this.ruleset().trim(), '');
    assert.deepEqual(readdirSync(this.runDirectory), []);
    assert.equal(this.run(this.name, 'cat', '/proc/sys/net/ipv4/conf/uplink/forwarding').trim(), '0');
  }

  async #send(method: ProcessRequest['method'], request: Record<string, unknown>): Promise<unknown> {
    const id = this.#nextId++;
    const reply = await new Promise<ProcessReply>((resolve) => {
      const late = setTimeout(
        () => resolve({ id, error: { code: 'deadline_exceeded', message: `${method} took too long` } }),
        callTimeoutMs,
      );
      this.#waiting.set(id, (answer) => {
        clearTimeout(late);
        resolve(answer);
      });
      const service = this.#service;
      if (service?.connected !== true)
        this.#waiting.get(id)?.({ id, error: { code: 'unavailable', message: 'the service is gone' } });
      else service.send({ id, method, request } satisfies ProcessRequest, () => undefined);
    });
    if (reply.error !== undefined)
      throw new GantryError({
        code: reply.error.code as ErrorCode,
        operation: method,
        message: reply.error.message,
      });
    return reply.answer;
  }

  #makeNamespaces(): void {
    const ip = (...words: string[]): void =>
      void execFileSync('ip', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    ip('netns', 'add', this.name);
    ip('netns', 'add', this.outside);
    ip('-n', this.name, 'link', 'set', 'lo', 'up');
    ip('-n', this.outside, 'link', 'set', 'lo', 'up');
    ip(
      '-n',
      this.name,
      'link',
      'add',
      'uplink',
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      this.outside,
    );
    ip('-n', this.name, 'address', 'add', '192.0.2.1/24', 'dev', 'uplink');
    ip('-n', this.outside, 'address', 'add', '192.0.2.2/24', 'dev', 'eth0');
    ip('-n', this.name, 'link', 'set', 'uplink', 'up');
    ip('-n', this.outside, 'link', 'set', 'eth0', 'up');
    ip('-n', this.name, 'route', 'add', 'default', 'via', '192.0.2.2');
  }

  async #clean(): Promise<void> {
    await this.kill();
    for (const child of this.#children) child.kill('SIGKILL');
    for (const path of this.mounts().sort().reverse()) execFileSync('umount', ['-l', path]);
    for (const name of [this.name, this.outside]) {
      try {
        execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
      } catch {
        // It was never made.
      }
    }
    rmSync(this.runDirectory, { recursive: true, force: true });
    // The kernel lets go of a deleted namespace's links a moment later.
    await sleep(1);
  }
}

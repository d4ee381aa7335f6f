import { execFileSync, spawn as spawnProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { RuntimeProcess, RuntimeSpec } from '@gantry/oci';
import { CAPABILITIES, DEFAULT_CAPABILITIES, stringifyLossless, defaultMounts } from '@gantry/oci';
import { spawn, type Init } from '@gantry/protocol';
import { pino } from 'pino';
import { attachProcess } from './attach.js';
import type { Handle } from './handle.js';
import { loadNative, type NativeSpawner } from './native.js';
import type { ExitNotice, LogLossNotice } from './notices.js';
import { type Container, Spawner } from './spawner.js';

/** Why root tests cannot run here; false when they can. */
export const skipUnlessRoot: string | false =
  process.getuid?.() === 0 ? false : 'needs root: it starts containers';

/** First id of the test containers' user namespaces, outside every range that a node hands out by default. */
export const ID_BASE = 0x6f000000;

export function newId(): string {
  return randomBytes(32).toString('hex');
}

export function handleOf(path: string): Handle {
  const status = statSync(path);
  return { path, device: status.dev, inode: status.ino };
}

/** A user and a network namespace pinned by bind mounts, as the network manager makes them. */
export interface Sandbox {
  readonly user: Handle;
  readonly network: Handle;
  remove(): void;
}

export async function makeSandbox(directory: string): Promise<Sandbox> {
  mkdirSync(directory, { recursive: true });
  const holder = spawnProcess('unshare', ['--user', '--net', 'sh', '-c', 'echo ready; read _'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  for (const map of ['uid_map', 'gid_map'])
    writeFileSync(`/proc/${holder.pid}/${map}`, `0 ${ID_BASE} 65536\n`);
  const pins = ['user', 'net'].map((kind) => {
    const pin = join(directory, kind);
    writeFileSync(pin, '');
    execFileSync('mount', ['--bind', `/proc/${holder.pid}/ns/${kind}`, pin]);
    return pin;
  });
  holder.stdin.end();
  await once(holder, 'exit');
  const [user = '', network = ''] = pins;
  return {
    user: handleOf(user),
    network: handleOf(network),
    remove: () => {
      for (const pin of pins) execFileSync('umount', [pin]);
    },
  };
}

/** A lowerdir with busybox under every name that the tests use. */
export function makeBusyboxLayer(directory: string): string {
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp', 'etc', 'root'])
    mkdirSync(join(directory, name), { recursive: true });
  chmodSync(join(directory, 'tmp'), 0o1777);
  cpSync('/bin/busybox', join(directory, 'bin/busybox'));
  chmodSync(join(directory, 'bin/busybox'), 0o755);
  for (const applet of [
    'sh',
    'cat',
    'ls',
    'id',
    'true',
    'false',
    'sleep',
    'echo',
    'stat',
    'touch',
    'seq',
    'dd',
    'mount',
    'stty',
    'tty',
    'yes',
    'head',
    'kill',
    'readlink',
    'hostname',
    'ulimit',
    'mkdir',
    'chown',
    'rm',
    'env',
    'nproc',
    'printf',
    'usleep',
    'chmod',
    'wc',
    'unshare',
    'grep',
    'pwd',
    'sort',
    'trap',
    'ln',
    'cp',
  ])
    if (!existsSync(join(directory, 'bin', applet))) symlinkSync('busybox', join(directory, 'bin', applet));
  writeFileSync(join(directory, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  return directory;
}

export const KERNEL_MOUNTS = defaultMounts({
  privileged: false,
  foreignNetwork: false,
  shmSizeBytes: 1 << 20,
});

export function processOf(args: readonly string[], more: Partial<RuntimeProcess> = {}): RuntimeProcess {
  const kept = [...DEFAULT_CAPABILITIES];
  return {
    user: { uid: 0, gid: 0 },
    args,
    env: ['PATH=/bin:/usr/bin', 'HOME=/root'],
    cwd: '/',
    capabilities: { bounding: kept, effective: kept, permitted: kept, inheritable: [], ambient: [] },
    noNewPrivileges: true,
    ...more,
  };
}

/** All eight namespaces, as a default container of the node has them. */
export function specOf(
  args: readonly string[],
  more: Partial<RuntimeSpec> = {},
  ofProcess: Partial<RuntimeProcess> = {},
): RuntimeSpec {
  const namespaces = (['user', 'network', 'pid', 'mount', 'ipc', 'uts', 'cgroup', 'time'] as const).map(
    (type) => ({ type }),
  );
  return {
    ociVersion: '1.2.0',
    process: processOf(args, ofProcess),
    root: { path: 'rootfs' },
    hostname: 'box',
    mounts: KERNEL_MOUNTS,
    ...more,
    linux: {
      namespaces,
      maskedPaths: ['/proc/interrupts', '/proc/fs', '/proc/not-there', '/sys/firmware'],
      readonlyPaths: ['/proc/sys', '/proc/bus'],
      ...more.linux,
    },
  };
}

export const ALL_CAPABILITIES = CAPABILITIES;

/** A directory of a test's own, a sandbox, a busybox layer and a spawner; `remove` leaves nothing of them. */
export class SpawnerFixture {
  readonly directory = mkdtempSync(join(tmpdir(), 'gantry-test-spawner-'));
  readonly runDirectory = join(this.directory, 'run');
  readonly exits: ExitNotice[] = [];
  readonly logLosses: LogLossNotice[] = [];
  /** Lines of the spawner's own log, from level warn on. */
  readonly warnings: string[] = [];
  /** Called with the pid of every shim, before it has done anything. */
  onShim: (pid: number) => void = () => {};
  readonly #mountsBefore = readFileSync('/proc/self/mountinfo', 'utf8');
  #spawner: Spawner | undefined;
  #sandbox: Sandbox | undefined;
  #layer: string | undefined;
  readonly #cgroups: string[] = [];

  readonly #native: NativeSpawner;

  private constructor(native: NativeSpawner) {
    this.#native = native;
  }

  static async make(native = loadNative()): Promise<SpawnerFixture> {
    const fixture = new SpawnerFixture(native);
    chmodSync(fixture.directory, 0o755);
    mkdirSync(fixture.runDirectory);
    fixture.#sandbox = await makeSandbox(join(fixture.directory, 'sandbox'));
    fixture.#layer = makeBusyboxLayer(join(fixture.directory, 'layer'));
    await fixture.restart();
    return fixture;
  }

  get spawner(): Spawner {
    if (this.#spawner === undefined) throw new Error('the fixture has no spawner');
    return this.#spawner;
  }

  get sandbox(): Sandbox {
    if (this.#sandbox === undefined) throw new Error('the fixture has no sandbox');
    return this.#sandbox;
  }

  get layer(): string {
    return this.#layer ?? '';
  }

  /** Another life of the service over the same run directory. */
  async restart(): Promise<void> {
    this.#spawner?.leave();
    this.#spawner = new Spawner({
      runDirectory: this.runDirectory,
      native: this.#watchedNative(),
      logger: pino({ level: 'warn' }, { write: (line: string) => this.warnings.push(line) }),
      onExit: (notice) => this.exits.push(notice),
      onLogLoss: (notice) => this.logLosses.push(notice),
    });
    await this.#spawner.adopt();
  }

  /** The addon, telling of each shim the moment it runs. */
  #watchedNative(): NativeSpawner {
    const native = this.#native;
    return {
      ...native,
      startShim: (...values) => {
        const shim = native.startShim(...values);
        this.onShim(shim.pid);
        return shim;
      },
    };
  }

  makeDirectory(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** `upper` and `work` of a container. */
  makeWritable(name = newId().slice(0, 12)): string {
    const path = this.makeDirectory(`writable-${name}`);
    for (const part of ['upper', 'work']) mkdirSync(join(path, part), { recursive: true });
    return path;
  }

  /** A cgroup in every hierarchy that has one of these, removed with the fixture. */
  makeCgroups(name: string, controllers: readonly string[]): Handle[] {
    return controllers.flatMap((controller) => {
      const root = join('/sys/fs/cgroup', controller);
      if (!existsSync(join(root, 'cgroup.procs'))) return [];
      const path = join(root, `gantry-test-spawner-${name}-${process.pid}`);
      mkdirSync(path, { recursive: true });
      this.#cgroups.push(path);
      return [handleOf(path)];
    });
  }

  request(
    id: string,
    spec: RuntimeSpec,
    more: Init<spawn.StartContainerRequest> = {},
  ): spawn.StartContainerRequest {
    const init: Init<spawn.StartContainerRequest> = {
      containerId: id,
      attempt: 1,
      runtimeSpecJson: Buffer.from(stringifyLossless(spec)),
      rootfs: { lowerdirs: [handleOf(this.layer)], writable: handleOf(this.makeWritable()) },
      userNamespace: this.sandbox.user,
      networkNamespace: this.sandbox.network,
      log: { path: this.logPath(id), maxSizeBytes: 0, maxFiles: 1 },
      ...more,
    };
    return spawn.StartContainerRequestCodec.decode(spawn.StartContainerRequestCodec.encode(init));
  }

  logPath(id: string): string {
    return join(this.directory, `${id.slice(0, 12)}.log`);
  }

  start(spec: RuntimeSpec, more: Init<spawn.StartContainerRequest> = {}): Promise<Container> {
    return this.spawner.start(this.request(newId(), spec, more));
  }

  /** Runs to the end; output from the log, stdout and stderr apart. */
  async run(spec: RuntimeSpec, more: Init<spawn.StartContainerRequest> = {}) {
    const container = await this.start(spec, more);
    const exit = await container.main.exited;
    const lines = this.readLog(container.id);
    const text = (stream: string): string =>
      lines
        .filter((line) => line.stream === stream)
        .map((line) => line.log)
        .join('');
    return { id: container.id, container, exit, stdout: text('stdout'), stderr: text('stderr') };
  }

  readLog(id: string): { log: string; stream: string; time: string }[] {
    return readFileSync(this.logPath(id), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { log: string; stream: string; time: string });
  }

  exec(containerId: string, process: RuntimeProcess, more: Init<spawn.StartExecRequest> = {}) {
    const init: Init<spawn.StartExecRequest> = {
      containerId,
      execId: newId(),
      processJson: Buffer.from(JSON.stringify(process)),
      ...more,
    };
    const request = spawn.StartExecRequestCodec.decode(spawn.StartExecRequestCodec.encode(init));
    return this.spawner.startExec(request).then((exec) => ({ exec, execId: request.execId }));
  }

  /** Attaches with these inputs after `open`, and gathers everything up to the exit. */
  async attach(
    open: Init<spawn.AttachOpen>,
    inputs: AsyncIterable<Init<spawn.AttachInput>> | Iterable<Init<spawn.AttachInput>> = [],
  ) {
    const stdout: Uint8Array[] = [];
    const stderr: Uint8Array[] = [];
    let exitCode: number | undefined;
    async function* all() {
      yield { open };
      yield* inputs;
    }
    async function* decoded() {
      for await (const input of all())
        yield spawn.AttachInputCodec.decode(spawn.AttachInputCodec.encode(input));
    }
    for await (const output of attachProcess(this.spawner, decoded(), new AbortController().signal)) {
      if (output.stdout) stdout.push(output.stdout);
      if (output.stderr) stderr.push(output.stderr);
      if (output.exit) exitCode = output.exit.exitCode ?? 0;
    }
    return { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString(), exitCode };
  }

  async remove(): Promise<void> {
    for (const { id, main } of this.spawner.list()) {
      main.signal(9);
      await main.exited;
      await this.spawner.forget(id);
    }
    this.#spawner?.leave();
    this.#sandbox?.remove();
    for (const path of this.#cgroups) await removeCgroup(path);
    rmSync(this.directory, { recursive: true, force: true });
    const mountsAfter = readFileSync('/proc/self/mountinfo', 'utf8');
    const left = mountsAfter
      .split('\n')
      .filter((line) => line.includes(this.directory) && !this.#mountsBefore.includes(line));
    if (left.length > 0) throw new Error(`mounts are left behind: ${left.join(', ')}`);
  }
}

async function removeCgroup(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      execFileSync('rmdir', [path], { stdio: 'ignore' });
      return;
    } catch (error) {
      if (tries === 50) throw error;
      await delay(20);
    }
  }
}

/** Pids whose command line names this container. */
export function processesOf(id: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(id);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Polls until it holds, five seconds at most. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await delay(10);
  }
}

/** Pids of living processes in this user namespace; a zombie waits for pid 1 of this machine alone. */
export function processesIn(userNamespace: Handle): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          statSync(`/proc/${pid}/ns/user`).ino === userNamespace.inode &&
          !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

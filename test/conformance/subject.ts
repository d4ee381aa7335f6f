import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventually } from '@gantry/test-harness';
import { sweepDeadSessions } from './dead-sessions.js';
import type { Runtime } from './runtimes.js';
import { baseSpec, type ProcessSpec, type Spec } from './spec.js';

export interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface State {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: string;
  readonly pid?: number;
  readonly bundle: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface AskOptions {
  readonly input?: string;
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Descriptors from 3 on. */
  readonly descriptors?: readonly number[];
  readonly timeoutMs?: number;
}

export const payloadPath = fileURLToPath(
  new URL('../../../build/native/gantry-test-payload', import.meta.url),
);
const applets =
  'sh cat ls mount umount sleep true false id stat readlink echo grep mkdir rmdir touch rm ln mknod kill hostname dnsdomainname pwd env head tail sort dd tr wc cut chmod chown ps nproc cp mv test uname date'.split(
    ' ',
  );

/** Every cgroup of these tests is below it; of one process, so that two test files never meet. */
export const cgroupParent = `gantry-conformance-${process.pid}`;
const cgroupMount = '/sys/fs/cgroup';
let serial = 0;

/** The words of a process, a blank after each. */
export const processLine = (pid: number): string =>
  readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');

/** One bundle in one runtime: made for a case, thrown away after it. */
export class Subject {
  readonly id = `subject-${process.pid}-${++serial}`;
  readonly directory: string;
  readonly bundle: string;
  readonly rootfs: string;
  /** Written to config.json by whatever creates a container. */
  readonly spec: Spec;
  /** The runtime's --root. */
  readonly stateDirectory: string;
  private readonly undo: (() => void)[] = [];
  private files = 0;
  private lastOutput = '';
  private containerOutput = '';
  readonly runtime: Runtime;

  constructor(runtime: Runtime, scratch: string) {
    this.runtime = runtime;
    this.directory = mkdtempSync(join(scratch, 'case-'));
    // An id mapped into the container must be able to reach its root.
    chmodSync(this.directory, 0o755);
    this.bundle = join(this.directory, 'bundle');
    this.rootfs = join(this.bundle, 'rootfs');
    this.stateDirectory = join(this.directory, 'state');
    this.spec = baseSpec(`/${cgroupParent}/${this.id}`);
    makeRootfs(this.rootfs, scratch);
  }

  /** What is done when the case is over, last first. */
  afterwards(step: () => void): void {
    this.undo.push(step);
  }

  writeSpec(): void {
    writeFileSync(join(this.bundle, 'config.json'), JSON.stringify(this.spec));
  }

  /** A file below the root file system, with its directories. */
  writeInside(path: string, content: string, mode = 0o644): void {
    const target = join(this.rootfs, path);
    mkdirSync(join(target, '..'), { recursive: true });
    writeFileSync(target, content, { mode });
  }

  /** Runs the command line. Output goes through files: a container that was created keeps them open. */
  async ask(words: readonly string[], options: AskOptions = {}): Promise<Answer> {
    const { input, cwd, environment, descriptors = [], timeoutMs = 20_000 } = options;
    const base = join(this.directory, `io-${++this.files}`);
    writeFileSync(`${base}.in`, input ?? '');
    const stdio = [openSync(`${base}.in`, 'r'), openSync(`${base}.out`, 'w'), openSync(`${base}.err`, 'w')];
    const [program = '', ...before] = this.runtime.command;
    const child = spawn(program, [...before, '--root', this.stateDirectory, ...words], {
      stdio: [...stdio, ...descriptors],
      env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', ...environment },
      cwd: cwd ?? this.directory,
    });
    stdio.forEach((file) => closeSync(file));
    const code = await new Promise<number>((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`${this.runtime.name} ${words.join(' ')} did not end within ${timeoutMs} ms`));
      }, timeoutMs);
      child.once('error', reject);
      child.once('exit', (status, signal) => {
        clearTimeout(timer);
        resolve(signal === null ? (status ?? -1) : -1);
      });
    });
    this.lastOutput = `${base}.out`;
    return { code, stdout: readFileSync(`${base}.out`, 'utf8'), stderr: readFileSync(`${base}.err`, 'utf8') };
  }

  /** The same, and it must succeed. */
  async must(words: readonly string[], options: AskOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.ask(words, options);
    assert.equal(
      code,
      0,
      `${words.join(' ')}: exit code ${code}: ${(stderr || stdout).trim().slice(0, 600)}`,
    );
    return stdout;
  }

  private command(words: readonly string[]): void {
    if (words.length > 0 && this.spec.process !== undefined) this.spec.process.args = [...words];
    this.writeSpec();
  }

  /** run, in the foreground, with these words as the command. */
  run(
    words: readonly string[] = [],
    options: AskOptions & { flags?: readonly string[] } = {},
  ): Promise<Answer> {
    this.command(words);
    return this.ask(['run', '--bundle', this.bundle, ...(options.flags ?? []), this.id], options);
  }

  /** What the command wrote; it must have succeeded. */
  async inside(...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(words);
    assert.equal(
      code,
      0,
      `${words.join(' ')}: exit code ${code}: ${(stderr || stdout).trim().slice(0, 600)}`,
    );
    return stdout;
  }

  /** The same by a shell. */
  shell(script: string): Promise<string> {
    return this.inside('sh', '-c', script);
  }

  /** "name=value" lines of `payload inspect`. */
  async facts(): Promise<Readonly<Record<string, string>>> {
    return parseFacts(await this.inside('payload', 'inspect'));
  }

  async create(
    words: readonly string[] = [],
    flags: readonly string[] = [],
    options: AskOptions = {},
  ): Promise<void> {
    this.command(words);
    await this.must(['create', '--bundle', this.bundle, ...flags, this.id], options);
    this.containerOutput = this.lastOutput;
  }

  start(): Promise<string> {
    return this.must(['start', this.id]);
  }

  /** A running container that waits; its pid as the host sees it. */
  async live(...words: string[]): Promise<number> {
    await this.create(words.length > 0 ? words : ['sleep', '100']);
    await this.start();
    const { pid } = await this.state();
    assert.ok(pid !== undefined && pid > 0, 'a running container has a pid');
    return pid;
  }

  /** What a created container has written by now. */
  output(): string {
    return readFileSync(this.containerOutput, 'utf8');
  }

  async state(): Promise<State> {
    return JSON.parse(await this.must(['state', this.id])) as State;
  }

  async statusIs(status: string): Promise<void> {
    await eventually(`the container is ${status}`, async () => (await this.state()).status === status, 5_000);
  }

  exec(words: readonly string[], flags: readonly string[] = [], options: AskOptions = {}): Promise<Answer> {
    return this.ask(['exec', ...flags, this.id, ...words], options);
  }

  async execOutput(...words: string[]): Promise<string> {
    return this.must(['exec', this.id, ...words]);
  }

  kill(...words: string[]): Promise<string> {
    return this.must(['kill', this.id, ...words]);
  }

  remove(...flags: string[]): Promise<string> {
    return this.must(['delete', ...flags, this.id]);
  }

  /** run must fail before anything ran, say something that matches, and leave nothing. */
  async refused(pattern: RegExp): Promise<void> {
    this.spec.process ??= { args: [], cwd: '/', env: [], user: { uid: 0, gid: 0 } };
    const { code, stdout, stderr } = await this.run(['echo', 'it ran']);
    assert.notEqual(code, 0, `accepted; output: ${stdout.trim()}`);
    assert.doesNotMatch(stdout, /it ran/);
    assert.match(stderr, pattern);
    assert.notEqual((await this.ask(['state', this.id])).code, 0, 'a container was left');
  }

  /** A value of one controller's directory; undefined when this runtime did not make it. */
  limit(controller: string, file: string): string | undefined {
    const path = join(this.cgroupDirectory(controller), file);
    return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
  }

  cgroupDirectory(controller: string): string {
    const path = (this.spec.linux.cgroupsPath ?? '').replace(/^\//, '');
    const isV1 = existsSync(join(cgroupMount, controller, 'cgroup.procs')) && controller !== '';
    return isV1 ? join(cgroupMount, controller, path) : join(cgroupMount, path);
  }

  /** Ends everything of the case; says what the runtime should have taken away itself. */
  async close(): Promise<string[]> {
    // A container that the case let live is the case's business, not a leak.
    for (const name of this.containers()) await this.ask(['delete', '--force', name]).catch(() => undefined);
    for (const step of this.undo.reverse()) step();
    const left = this.leftovers();
    for (const pid of processesOf(this.id)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone by itself.
      }
    }
    for (const target of mountsBelow(this.directory)) spawnSync('umount', ['-l', target]);
    // Busy for a moment after a kill.
    const end = Date.now() + 2_000;
    for (let rest = cgroupDirectories(this.id); rest.length > 0 && Date.now() < end;) {
      for (const directory of rest) removeCgroup(directory);
      rest = cgroupDirectories(this.id);
      if (rest.length > 0) await delay(20);
    }
    rmSync(this.directory, { recursive: true, force: true });
    return left;
  }

  /** What is in the runtime's directory, but what no container can be called. */
  private containers(): string[] {
    if (!existsSync(this.stateDirectory)) return [];
    return readdirSync(this.stateDirectory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && /^[\w+.-]+$/.test(entry.name))
      .map(({ name }) => name);
  }

  private leftovers(): string[] {
    return [
      ...this.containers().map((name) => `state of ${name}`),
      ...mountsBelow(this.directory).map((target) => `mount ${target.slice(this.directory.length)}`),
      ...cgroupDirectories(this.id).map((path) => `cgroup ${path}`),
      ...processesOf(this.id).map((pid) => `process ${pid}`),
    ];
  }
}

export const processOf = (t: Subject): ProcessSpec => {
  assert.ok(t.spec.process);
  return t.spec.process;
};

export function parseFacts(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text
      .split(/\r?\n/)
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

function makeRootfs(rootfs: string, scratch: string): void {
  for (const directory of ['bin', 'dev', 'proc', 'sys', 'tmp', 'etc', 'data'])
    mkdirSync(join(rootfs, directory), { recursive: true });
  for (const [source, name] of [
    ['/bin/busybox', 'busybox'],
    [payloadPath, 'payload'],
  ] as const) {
    const kept = join(scratch, name);
    if (!existsSync(kept)) copyFileSync(source, kept);
    linkSync(kept, join(rootfs, 'bin', name));
  }
  for (const applet of applets) symlinkSync('busybox', join(rootfs, 'bin', applet));
  writeFileSync(join(rootfs, 'etc/marker'), 'root of the bundle\n');
}

const hierarchies = (): string[] => [
  cgroupMount,
  ...readdirSync(cgroupMount)
    .map((name) => join(cgroupMount, name))
    .filter((path) => existsSync(join(path, 'cgroup.procs'))),
];

/** The directories that every cgroup of a test process is below; runtimes need not make or remove parents. */
export function makeCgroupParents(): void {
  sweepDeadSessions('gantry-conformance');
  for (const hierarchy of hierarchies()) {
    if (!existsSync(join(hierarchy, 'cgroup.procs'))) continue;
    const parent = join(hierarchy, cgroupParent);
    mkdirSync(parent, { recursive: true });
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (!existsSync(join(parent, file)) || !existsSync(join(hierarchy, 'cpuset.sched_load_balance')))
        continue;
      writeFileSync(join(parent, file), readFileSync(join(hierarchy, file)));
    }
  }
}

export function removeCgroupParents(): string[] {
  const left: string[] = [];
  for (const hierarchy of hierarchies()) {
    const parent = join(hierarchy, cgroupParent);
    if (!existsSync(parent)) continue;
    left.push(
      ...readdirSync(parent, { withFileTypes: true }).flatMap((e) =>
        e.isDirectory() ? [join(parent, e.name)] : [],
      ),
    );
    removeCgroup(parent);
  }
  return left;
}

function cgroupDirectories(id: string): string[] {
  return hierarchies()
    .map((hierarchy) => join(hierarchy, cgroupParent, id))
    .filter((path) => existsSync(path));
}

function removeCgroup(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeCgroup(join(directory, entry.name));
  try {
    rmdirSync(directory);
  } catch {
    // Busy for a moment after a kill; the parent's removal says so if it stays.
  }
}

export function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((target) => target.startsWith(`${directory}/`))
    .reverse();
}

/** Processes in a cgroup of the container or with its id in their command line. */
function processesOf(id: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => {
      try {
        // A process that has ended is its parent's to reap: it holds nothing.
        if (/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return false;
        const names =
          readFileSync(`/proc/${pid}/cgroup`, 'utf8') + readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return new RegExp(`${id}(?!\\d)`).test(names);
      } catch {
        return false;
      }
    });
}

export const inodeOf = (path: string): number => statSync(path).ino;

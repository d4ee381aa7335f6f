import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  eventually,
  mustRun,
  NetworkNamespace,
  readHostState,
  runCommand,
  takeSlot,
  type CommandOptions,
  type CommandResult,
  type HostState,
  type Slot,
} from '@gantry/test-harness';

/** Becomes the first process of the machine. Not a chroot: in one the kernel makes no user namespaces. */
const boot = `
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount --rbind /sys sys
mount --rbind /dev dev
# The process number that others know this one by, while /proc is still the outer one.
cut -d' ' -f4 /proc/self/stat
mount -t proc proc proc
mount -t tmpfs -o mode=755 run run
pivot_root . .
umount -l .
cd /
exec /bin/sh -c 'while :; do sleep 3600 & wait; done' </dev/null >/dev/null 2>&1
`;

/**
 * A machine of its own as far as a package can tell: root file system, processes, mounts, network, host name. Its cgroups
 * are this machine's, below a name of the slot's.
 */
export class Machine {
  readonly directory: string;
  readonly root: string;
  readonly cgroupRoot: string;
  readonly idBase: number;
  readonly network: NetworkNamespace;
  readonly #slot: Slot;
  readonly #init: ChildProcess;
  readonly #pid: number;

  private constructor(
    slot: Slot,
    network: NetworkNamespace,
    directory: string,
    init: ChildProcess,
    pid: number,
  ) {
    this.#slot = slot;
    this.network = network;
    this.directory = directory;
    this.root = join(directory, 'root');
    this.cgroupRoot = `gantry-test-${slot.number}`;
    this.idBase = 0x30000000 + slot.number * 0x400000;
    this.#init = init;
    this.#pid = pid;
  }

  static async boot(rootArchive: string): Promise<Machine> {
    const slot = takeSlot();
    const directory = mkdtempSync('/var/tmp/gantry-package-');
    const network = await NetworkNamespace.create(`gantry-test-${slot.number}`);
    try {
      const root = join(directory, 'root');
      mkdirSync(root);
      await mustRun('tar', ['-x', '--numeric-owner', '-f', rootArchive, '-C', root]);
      const words = ['--mount', '--pid', '--fork', '--kill-child', '--uts', 'sh', '-c', boot, 'boot', root];
      const init = spawn(...network.wrap('unshare', words), { stdio: ['ignore', 'pipe', 'inherit'] });
      let said = '';
      init.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
      const pid = await eventually('the machine is up', async () => {
        const own = Number(said.trim());
        if (!(own > 0)) return undefined;
        const { code } = await runCommand('nsenter', ['-t', String(own), '-m', 'test', '-d', '/proc/1']);
        return code === 0 ? own : undefined;
      });
      return new Machine(slot, network, directory, init, pid);
    } catch (error) {
      await network.remove();
      rmSync(directory, { recursive: true, force: true });
      slot.release();
      throw error;
    }
  }

  run(program: string, words: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand('nsenter', this.#inside(program, words), options);
  }

  must(program: string, words: readonly string[], options: CommandOptions = {}): Promise<string> {
    return mustRun('nsenter', this.#inside(program, words), options);
  }

  /** With the environment of a fresh login, not of this test. */
  #inside(program: string, words: readonly string[]): string[] {
    const environment = [
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'HOME=/root',
      'LANG=C.UTF-8',
      'DEBIAN_FRONTEND=noninteractive',
    ];
    const into = ['--target', String(this.#pid), '--mount', '--pid', '--net', '--uts', '--root', '--wd'];
    return [...into, 'env', '-i', ...environment, program, ...words];
  }

  /** Everything that is mounted in it. */
  async mounts(): Promise<string[]> {
    const table = await this.must('cat', ['/proc/self/mountinfo']);
    return table
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(' ')[4] ?? '')
      .sort();
  }

  /** Every file of the root's own file system, and of /run. */
  async files(): Promise<string[]> {
    const listed = await this.must('find', ['/', '/run', '-xdev', '-print']);
    return [...new Set(listed.split('\n').filter((path) => path !== ''))].sort();
  }

  /** Processes besides the first, the sleep it waits for, and the look itself. */
  async processes(): Promise<string[]> {
    const script =
      'for p in /proc/[0-9]*; do echo "${p#/proc/} $(tr "\\0" " " <$p/cmdline 2>/dev/null)"; done';
    const listed = await this.must('sh', ['-c', script]);
    return listed.split('\n').filter((line) => /gantry|nats/.test(line));
  }

  /** What the kernel has beside files, mounts and processes. */
  state(): Promise<HostState> {
    return readHostState({ directories: [this.root], cgroupRoot: this.cgroupRoot, network: this.network });
  }

  /** Ends everything in it. */
  async destroy(): Promise<void> {
    this.#init.kill('SIGKILL');
    await eventually(
      'the machine is off',
      () => this.#init.exitCode !== null || this.#init.signalCode !== null,
    );
    // Its first process dies with unshare, and everything else with that.
    await eventually('its processes are gone', async () => (await this.state()).processes.length === 0);
    for (const cgroup of [...(await this.state()).cgroups].reverse()) await runCommand('rmdir', [cgroup]);
    await this.network.remove();
    rmSync(this.directory, { recursive: true, force: true });
    this.#slot.release();
  }
}

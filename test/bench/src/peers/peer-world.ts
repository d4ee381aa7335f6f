import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync, readdirSync } from 'node:fs';
import { mustRun, runCommand, type CommandOptions, type CommandResult } from '@gantry/test-harness';
import type { Cleanup } from '../cleanup.js';

/**
 * Namespaces in which the peers run at their own speed and leave nothing: their mounts, processes, links, rules and
 * everything below /run and /dev/shm end with the one process that holds them, and that ends when its input does.
 *
 * On a hybrid cgroup layout Debian's crun and podman refuse to start a container (they take a v2 hierarchy for one
 * with controllers): in there it is not mounted, and they see v1 alone.
 */
const holder = `set -eu
for directory in /run /dev/shm /var/tmp /var/lib/containers; do
  mkdir -p "$directory"
  mount -t tmpfs -o mode=755 tmpfs "$directory"
done
if [ -d /sys/fs/cgroup/unified ]; then umount -l /sys/fs/cgroup/unified; fi
ip link set lo up
mkdir -p /run/netns
echo ready
# A child to wait for: pid 1 reaps orphans only while it waits.
cat >/dev/null
exit 0
`;

export class PeerWorld {
  readonly #pid: number;
  readonly #pidNamespace: string;
  readonly #environment: Readonly<Record<string, string>>;

  private constructor(pid: number, environment: Readonly<Record<string, string>>) {
    this.#pid = pid;
    this.#pidNamespace = readlinkSync(`/proc/${pid}/ns/pid`);
    this.#environment = environment;
  }

  /** `environment` is set for every program that runs inside. */
  static async open(cleanup: Cleanup, environment: Readonly<Record<string, string>>): Promise<PeerWorld> {
    // Slave: what others unmount outside must not live on in here.
    const words = [
      '--mount',
      '--propagation=slave',
      '--net',
      '--pid',
      '--fork',
      '--mount-proc',
      '--kill-child',
      'sh',
      '-c',
      holder,
    ];
    // Detached: Ctrl-C is for us, and ours is the order in which things end.
    const child = spawn('unshare', words, { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    const ended = once(child, 'close');
    cleanup.defer("the peers' namespaces", async () => {
      child.stdin.end();
      await ended;
    });
    const ready = once(child.stdout, 'data');
    await Promise.race([
      ready,
      ended.then(() => Promise.reject(new Error("cannot make the peers' namespaces"))),
    ]);
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    return new PeerWorld(Number(children.trim()), environment);
  }

  /** Words that run a program inside. */
  wrap(program: string, words: readonly string[]): readonly [string, readonly string[]] {
    return ['nsenter', ['-t', String(this.#pid), '--mount', '--net', '--pid', program, ...words]];
  }

  run(program: string, words: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(...this.wrap(program, words), {
      ...options,
      environment: { ...this.#environment, ...options.environment },
    });
  }

  mustRun(program: string, words: readonly string[], options: CommandOptions = {}): Promise<string> {
    return mustRun(...this.wrap(program, words), {
      ...options,
      environment: { ...this.#environment, ...options.environment },
    });
  }

  /** Pids, as the machine counts them, of the processes inside that have this name. */
  findProcesses(name: string): number[] {
    return readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry))
      .filter((pid) => {
        try {
          return (
            readlinkSync(`/proc/${pid}/ns/pid`) === this.#pidNamespace &&
            readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name
          );
        } catch {
          return false;
        }
      })
      .map(Number);
  }
}

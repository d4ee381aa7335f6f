import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, type CommandResult } from '@gantry/test-harness';
import type { Cleanup } from '../cleanup.js';
import { readMemory, type ProcessMemory } from '../process-memory.js';
import type { Workplace } from '../workplace.js';
import { PeerWorld } from './peer-world.js';

/** podman as Debian has it, on a tmpfs as Gantry is, with the network of its own choice (netavark, a bridge). */
export class Podman {
  readonly world: PeerWorld;
  readonly #cgroupParent: string;

  private constructor(world: PeerWorld, cgroupParent: string) {
    this.world = world;
    this.#cgroupParent = cgroupParent;
  }

  static async open(cleanup: Cleanup, workplace: Workplace): Promise<Podman> {
    const directory = join(workplace.directory, 'podman');
    mkdirSync(directory);
    const containersConf = join(directory, 'containers.conf');
    const storageConf = join(directory, 'storage.conf');
    // The limits: the default raises them, which needs a capability that a small machine's root may lack.
    const containers = `[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]
[network]
network_backend = "netavark"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
`;
    const storage = `[storage]
driver = "overlay"
graphroot = "${directory}/root"
runroot = "${directory}/run"
`;
    writeFileSync(containersConf, containers);
    writeFileSync(storageConf, storage);
    const world = await PeerWorld.open(cleanup, {
      CONTAINERS_CONF: containersConf,
      CONTAINERS_STORAGE_CONF: storageConf,
    });
    return new Podman(world, `/${workplace.cgroupName}/podman`);
  }

  run(words: readonly string[], options: { readonly timeoutMs?: number } = {}): Promise<CommandResult> {
    return this.world.run('podman', words, options);
  }

  /** Runs podman; resolves with how long it took, in milliseconds. */
  async time(words: readonly string[], timeoutMs = 120_000): Promise<number> {
    const { code, stderr, milliseconds } = await this.run(words, { timeoutMs });
    if (code !== 0) throw new Error(`podman ${words.join(' ')} ended with ${code}: ${stderr.trim()}`);
    return milliseconds;
  }

  /** Words of `run` for a container in a cgroup of ours. */
  runWords(...words: readonly string[]): string[] {
    return ['run', `--cgroup-parent=${this.#cgroupParent}`, ...words];
  }

  /** Memory of the monitor processes of so many containers, when those of earlier containers have ended. */
  readMonitors(count: number): Promise<ProcessMemory[]> {
    return eventually(`there are ${count} conmon`, () => {
      const pids = this.world.findProcesses('conmon');
      return pids.length === count && pids.map(readMemory);
    });
  }

  /** Memory of podman's service process when nobody asks anything of it. */
  async readServiceMemory(settleMs: number): Promise<ProcessMemory> {
    const ended = this.run(['system', 'service', '--time=0', 'unix:///run/podman-bench.sock'], {
      timeoutMs: settleMs + 60_000,
    });
    const pid = await eventually('podman system service runs', () => this.world.findProcesses('podman')[0]);
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    const memory = readMemory(pid);
    process.kill(pid, 'SIGTERM');
    await ended;
    return memory;
  }
}

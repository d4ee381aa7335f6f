import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CommandAnswer, CommandTask } from '../command-driver.js';
import type { Workplace } from '../workplace.js';
import type { PeerWorld } from './peer-world.js';

/** OCI runtimes that are given a finished bundle: no image, no network, no daemon. */
export type BundleRuntime = 'crun' | 'runc';

interface RuntimeSpec {
  root: { path: string };
  process: { args: string[]; terminal: boolean };
  linux: { cgroupsPath?: string };
}

const driver = fileURLToPath(new URL('../command-driver.js', import.meta.url));
const applets = ['true', 'sh', 'cat', 'sleep'];

/** The bundle of `runc spec`, running `true` from the static busybox. */
export class Bundle {
  readonly world: PeerWorld;
  readonly directory: string;
  readonly #cgroupName: string;

  private constructor(world: PeerWorld, directory: string, cgroupName: string) {
    this.world = world;
    this.directory = directory;
    this.#cgroupName = cgroupName;
  }

  static async make(world: PeerWorld, workplace: Workplace): Promise<Bundle> {
    const directory = join(workplace.directory, 'bundle');
    const binaries = join(directory, 'rootfs/bin');
    for (const name of ['bin', 'dev', 'proc', 'sys', 'data'])
      mkdirSync(join(directory, 'rootfs', name), { recursive: true });
    copyFileSync('/bin/busybox', join(binaries, 'busybox'));
    chmodSync(join(binaries, 'busybox'), 0o755);
    for (const applet of applets) symlinkSync('busybox', join(binaries, applet));
    await world.mustRun('runc', ['spec', '--bundle', directory]);
    const bundle = new Bundle(world, directory, workplace.cgroupName);
    bundle.#write(directory, 'bundle', ['/bin/true']);
    return bundle;
  }

  get rootfs(): string {
    return join(this.directory, 'rootfs');
  }

  /** The same with another command, in a directory and a cgroup of its own. */
  derive(name: string, args: readonly string[]): string {
    const directory = join(this.directory, name);
    mkdirSync(directory);
    this.#write(directory, name, args);
    return directory;
  }

  #write(directory: string, cgroup: string, args: readonly string[]): void {
    const spec = JSON.parse(readFileSync(join(this.directory, 'config.json'), 'utf8')) as RuntimeSpec;
    spec.root.path = this.rootfs;
    spec.process.args = [...args];
    spec.process.terminal = false;
    spec.linux.cgroupsPath = `/${this.#cgroupName}/${cgroup}`;
    writeFileSync(join(directory, 'config.json'), JSON.stringify(spec));
  }

  /** Milliseconds of each `run`, from the runtime's start to its end, one after the other. */
  measure(runtime: BundleRuntime, runs: number): Promise<number[]> {
    return this.measureCommand(`${runtime} run --bundle ${this.directory} gantry-bench`, runs);
  }

  /** Milliseconds of each run of a command inside the peers' world. */
  async measureCommand(command: string, runs: number): Promise<number[]> {
    const output = join(this.directory, 'times.json');
    // No shell between: hyperfine starts the runtime itself, and is lighter than Node at that.
    const words = [
      '--shell=none',
      '--style=none',
      '--warmup=5',
      `--runs=${runs}`,
      `--export-json=${output}`,
      command,
    ];
    await this.world.mustRun('hyperfine', words, { timeoutMs: 300_000 });
    const { results } = JSON.parse(readFileSync(output, 'utf8')) as { results: { times: number[] }[] };
    const times = results[0]?.times ?? [];
    if (times.length !== runs)
      throw new Error(`hyperfine gave ${times.length} times of ${command} instead of ${runs}`);
    return times.map((seconds) => seconds * 1000);
  }

  /** Commands inside the peers' world, so many at a time; fails when one of them does. */
  async runParallel(commands: CommandTask['commands'], parallel: number): Promise<CommandAnswer> {
    const task: CommandTask = { commands, parallel };
    const text = await this.world.mustRun(process.execPath, [driver, JSON.stringify(task)], {
      timeoutMs: 120_000,
    });
    const answer = JSON.parse(text) as CommandAnswer;
    if (answer.failed > 0)
      throw new Error(`${answer.failed} of ${commands.length} failed: ${commands[0]?.join(' ')} ...`);
    return answer;
  }
}

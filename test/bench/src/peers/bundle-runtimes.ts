import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Workplace } from '../workplace.js';
import type { PeerWorld } from './peer-world.js';

/** OCI runtimes that are given a finished bundle: no image, no network, no daemon. */
export type BundleRuntime = 'crun' | 'runc';

interface RuntimeSpec {
  process: { args: string[]; terminal: boolean };
  linux: { cgroupsPath?: string };
}

/** The bundle of `runc spec`, running `true` from the static busybox. */
export class Bundle {
  readonly #world: PeerWorld;
  readonly #directory: string;

  private constructor(world: PeerWorld, directory: string) {
    this.#world = world;
    this.#directory = directory;
  }

  static async make(world: PeerWorld, workplace: Workplace): Promise<Bundle> {
    const directory = join(workplace.directory, 'bundle');
    const binaries = join(directory, 'rootfs/bin');
    for (const name of ['bin', 'dev', 'proc', 'sys'])
      mkdirSync(join(directory, 'rootfs', name), { recursive: true });
    copyFileSync('/bin/busybox', join(binaries, 'busybox'));
    chmodSync(join(binaries, 'busybox'), 0o755);
    symlinkSync('busybox', join(binaries, 'true'));
    await world.mustRun('runc', ['spec', '--bundle', directory]);
    const file = join(directory, 'config.json');
    const spec = JSON.parse(readFileSync(file, 'utf8')) as RuntimeSpec;
    spec.process.args = ['/bin/true'];
    spec.process.terminal = false;
    spec.linux.cgroupsPath = `/${workplace.cgroupName}/bundle`;
    writeFileSync(file, JSON.stringify(spec));
    return new Bundle(world, directory);
  }

  /** Milliseconds of each `run`, from the runtime's start to its end, one after the other. */
  async measure(runtime: BundleRuntime, runs: number): Promise<number[]> {
    const output = join(this.#directory, `${runtime}.json`);
    const command = `${runtime} run --bundle ${this.#directory} gantry-bench`;
    // No shell between: hyperfine starts the runtime itself, and is lighter than Node at that.
    const words = [
      '--shell=none',
      '--style=none',
      '--warmup=5',
      `--runs=${runs}`,
      `--export-json=${output}`,
      command,
    ];
    await this.#world.mustRun('hyperfine', words, { timeoutMs: 300_000 });
    const { results } = JSON.parse(readFileSync(output, 'utf8')) as { results: { times: number[] }[] };
    const times = results[0]?.times ?? [];
    if (times.length !== runs)
      throw new Error(`hyperfine gave ${times.length} times of ${runtime} instead of ${runs}`);
    return times.map((seconds) => seconds * 1000);
  }
}

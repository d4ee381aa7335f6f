import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mkdirSync } from 'node:fs';
import type { Bundle } from './peers/bundle-runtimes.js';
import type { Workplace } from './workplace.js';

const program = fileURLToPath(new URL('../../../packages/spawner/dist/bench-driver.js', import.meta.url));

/** What packages/spawner/src/bench-driver.ts is asked, and what it answers. Durations are milliseconds. */
export type SpawnerTask =
  | {
      readonly kind: 'starts';
      readonly shape: 'bundle' | 'default';
      readonly warmUp: number;
      readonly count: number;
    }
  | { readonly kind: 'many'; readonly count: number; readonly parallel: number }
  | { readonly kind: 'adopt' }
  | { readonly kind: 'memory'; readonly file: string; readonly attaches: number }
  | { readonly kind: 'log'; readonly file: string; readonly rounds: number };

export interface SpawnerAnswers {
  readonly starts: {
    readonly stages: readonly string[];
    readonly samples: readonly {
      readonly running: number;
      readonly exited: number;
      readonly stages: readonly number[];
    }[];
  };
  readonly many: {
    readonly total: number;
    readonly samples: readonly number[];
    readonly errors: readonly string[];
  };
  readonly adopt: { readonly adopted: number; readonly running: number };
  /** KiB. */
  readonly memory: { readonly idle: number; readonly logged: number; readonly attached: number };
  readonly log: {
    readonly milliseconds: readonly number[];
    readonly bytes: number;
    readonly missing: number;
    readonly isEqual: boolean;
  };
}

/** The spawner without the bus, in the peers' world: the same mounts around it, the same cgroups, the same bundle. */
export class SpawnerDriver {
  readonly #bundle: Bundle;
  readonly #workplace: Workplace;

  constructor(bundle: Bundle, workplace: Workplace) {
    this.#bundle = bundle;
    this.#workplace = workplace;
  }

  async run<Kind extends SpawnerTask['kind']>(
    task: SpawnerTask & { readonly kind: Kind },
    timeoutMs = 120_000,
  ): Promise<SpawnerAnswers[Kind]> {
    const directory = join(this.#workplace.directory, 'spawner');
    mkdirSync(directory, { recursive: true });
    const place = { directory, bundle: this.#bundle.directory, cgroupName: this.#workplace.cgroupName };
    const text = await this.#bundle.world.mustRun(
      process.execPath,
      [program, JSON.stringify({ place, task })],
      {
        timeoutMs,
      },
    );
    return JSON.parse(text) as SpawnerAnswers[Kind];
  }
}

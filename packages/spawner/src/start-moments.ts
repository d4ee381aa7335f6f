import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeSpawner } from './native.js';
import { planFlag, planTag } from './plan-format.js';

/** What a start is made of, in the order of time; each ends where the next begins. */
export const startStages = [
  'decode, check and compile into a plan',
  'directory, record and lock',
  'plan into a memfd, clone and exec of the shim',
  'socket, log, handles opened, mounts cloned and id-mapped',
  'clone of the stage',
  'cgroups',
  'existing namespaces joined',
  'new namespaces, made with init',
  'root: bound or overlay',
  'mounts, devices, masks',
  'pipes',
  'pivot_root',
  'limits, credentials, capabilities, seccomp',
  'execve',
  'start record',
  'answer',
] as const;

/** The plan's header is followed by its flags, always (container-plan.ts). */
const FLAGS_AT = 12;
const SHIM_MOMENTS = 13;
/** Whether the container is known, and whether its directory is free; the third is the lock that the shim is given. */
const LOOKS_BEFORE_WRITING = 2;

const now = (): bigint => process.hrtime.bigint();

/**
 * Looks at one start from outside: asks the shim for the moments that it passes (native/shim/moments.c), and takes the time of what
 * the service asks of the addon. All on CLOCK_MONOTONIC.
 */
export class StartWatch {
  readonly native: NativeSpawner;
  #asked = 0n;
  #compiled = 0n;
  #launched = 0n;
  #looks = 0;

  constructor(native: NativeSpawner) {
    this.native = {
      ...native,
      lockFile: (path) => {
        // The last look before anything is written: whether an earlier start still holds the directory.
        this.#looks += 1;
        if (this.#looks <= LOOKS_BEFORE_WRITING) this.#compiled = now();
        return native.lockFile(path);
      },
      startShim: (image, plan, ...rest) => {
        const marked = Buffer.from(plan);
        if (marked.readUInt16LE(FLAGS_AT) !== planTag.flags)
          throw new Error('a plan does not begin with its flags');
        marked.writeUInt32LE(marked.readUInt32LE(FLAGS_AT + 8) | planFlag.moments, FLAGS_AT + 8);
        this.#launched = now();
        return native.startShim(image, marked, ...rest);
      },
    };
  }

  begin(): void {
    this.#looks = 0;
    this.#asked = now();
  }

  /** Milliseconds of each of `startStages`; `directory` is the container's runtime directory. */
  end(directory: string): readonly number[] {
    const answered = now();
    const bytes = readFileSync(join(directory, 'moments'));
    const shim = Array.from({ length: SHIM_MOMENTS }, (_, index) => bytes.readBigInt64LE(index * 8));
    const moments = [this.#asked, this.#compiled, this.#launched, ...shim, answered];
    return moments.slice(1).map((moment, index) => Number(moment - (moments[index] ?? moment)) / 1e6);
  }
}

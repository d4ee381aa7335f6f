import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, type CommandResult } from '@gantry/test-harness';
import { readMemory } from '../process-memory.js';
import type { Bundle } from './bundle-runtimes.js';

/** conmon with crun, as podman and CRI-O use it, without either: the monitor of one container, writing its log. */
export class Conmon {
  readonly #bundle: Bundle;
  #number = 0;

  constructor(bundle: Bundle) {
    this.#bundle = bundle;
  }

  /** Milliseconds from `crun start` until conmon has ended, everything logged. */
  async timeLog(file: string): Promise<number> {
    const { id, log, ended } = await this.#create(['/bin/cat', file]);
    const began = performance.now();
    await this.#crun('start', id);
    const { code, stderr } = await ended;
    if (code !== 0) throw new Error(`conmon ended with ${code}: ${stderr.trim()}`);
    const took = performance.now() - began;
    await this.#crun('delete', id);
    rmSync(log);
    return took;
  }

  /** KiB private to a monitor whose container idles, then logs `bytes` of `file`, then idles again. */
  async readMemory(file: string, bytes: number): Promise<{ readonly idle: number; readonly logged: number }> {
    const go = join(this.#bundle.rootfs, 'go');
    const script = `until [ -e /go ]; do sleep 0.1; done; cat ${file}; exec sleep 100000`;
    const { id, log, ended } = await this.#create(['/bin/sh', '-c', script]);
    const pid = this.#bundle.world.findProcesses('conmon').at(-1);
    if (pid === undefined) throw new Error('there is no conmon');
    await this.#crun('start', id);
    try {
      const idle = readMemory(pid).privateKiB;
      await this.#bundle.world.mustRun('touch', [go]);
      await eventually('conmon has logged all', () => sizeIsAtLeast(log, bytes), 60_000);
      return { idle, logged: readMemory(pid).privateKiB };
    } finally {
      rmSync(go, { force: true });
      await this.#crun('delete', '--force', id);
      await ended;
      rmSync(log, { force: true });
    }
  }

  async #create(args: readonly string[]): Promise<{
    readonly id: string;
    readonly log: string;
    /** conmon's end, with the exit code of its container. */
    readonly ended: Promise<CommandResult>;
  }> {
    const id = `conmon${this.#number++}`;
    const directory = this.#bundle.derive(id, args);
    const log = join(directory, 'log');
    const pidFile = join(directory, 'pid');
    const sockets = join(directory, 'sockets');
    mkdirSync(sockets);
    const words = [
      '--sync',
      '--api-version',
      '1',
      '-r',
      '/usr/bin/crun',
      '-b',
      directory,
      '-l',
      `k8s-file:${log}`,
    ];
    const ended = this.#bundle.world.run(
      'conmon',
      [
        ...words,
        '-c',
        id,
        '-u',
        id,
        '-n',
        id,
        '-p',
        pidFile,
        '--exit-dir',
        directory,
        '--socket-dir-path',
        sockets,
      ],
      { timeoutMs: 120_000 },
    );
    // Whoever waits for it learns of a failure; until then it is nobody's.
    ended.catch(() => undefined);
    await Promise.race([
      eventually('conmon has created its container', () => existsSync(pidFile), 10_000),
      ended.then(() => Promise.reject(new Error('conmon ended before its container was created'))),
    ]);
    return { id, log, ended };
  }

  #crun(...words: readonly string[]): Promise<string> {
    return this.#bundle.world.mustRun('crun', words);
  }
}

const sizeIsAtLeast = (path: string, bytes: number): boolean =>
  (statSync(path, { throwIfNoEntry: false })?.size ?? 0) >= bytes;

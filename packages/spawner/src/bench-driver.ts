// Program of the benchmark: a spawner in a process of its own that takes the time of what it is asked for. One task in JSON as its
// only argument, one answer in JSON on its output.
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { spawn } from '@gantry/protocol';
import { pino } from 'pino';
import { BenchContainers, type BenchPlace, type PreparedStart, type Shape } from './bench-containers.js';
import { asLogged, compareLog, type LogComparison } from './log-comparison.js';
import { loadNative } from './native.js';
import { ShimConnection } from './shim-connection.js';
import { attachFlag, encodeAttach, type ShimMessage } from './shim-protocol.js';
import { type Container, Spawner } from './spawner.js';
import { startStages, StartWatch } from './start-moments.js';

type Task =
  /** One start after the other, each to its end. */
  | { readonly kind: 'starts'; readonly shape: Shape; readonly warmUp: number; readonly count: number }
  /** Leaves them running. */
  | { readonly kind: 'many'; readonly count: number; readonly parallel: number }
  /** A new life over what `many` has left; ends them. */
  | { readonly kind: 'adopt' }
  /** A shim that idles, logs `file`, and is attached to. */
  | { readonly kind: 'memory'; readonly file: string; readonly attaches: number }
  /** `cat file` into the log. */
  | { readonly kind: 'log'; readonly file: string; readonly rounds: number };

interface StartSample {
  /** Milliseconds from the request to the answer, which comes when the program has been executed. */
  readonly running: number;
  readonly exited: number;
  /** Milliseconds of each stage. */
  readonly stages: readonly number[];
}

const SIGKILL = 9;
const IDLE = ['/bin/sleep', '100000'];

class Driver {
  readonly #place: BenchPlace;
  readonly #containers: BenchContainers;
  readonly #watch = new StartWatch(loadNative());
  readonly spawner: Spawner;

  constructor(place: BenchPlace) {
    this.#place = place;
    this.#containers = new BenchContainers(place);
    this.spawner = new Spawner({
      runDirectory: this.#containers.runDirectory,
      native: this.#watch.native,
      logger: pino({ level: 'error' }, pino.destination(2)),
      onExit: () => {},
      onLogLoss: () => {},
    });
  }

  async answer(task: Task): Promise<unknown> {
    switch (task.kind) {
      case 'starts':
        return { stages: startStages, samples: await this.#starts(task.shape, task.warmUp, task.count) };
      case 'many':
        return this.#many(task.count, task.parallel);
      case 'adopt':
        return this.#adopt();
      case 'memory':
        return this.#memory(task.file, task.attaches);
      case 'log':
        return this.#log(task.file, task.rounds);
    }
  }

  close(): void {
    this.spawner.leave();
    this.#containers.remove();
  }

  /** As the service does with what comes off the bus. */
  #start({ bytes }: PreparedStart): Promise<Container> {
    return this.spawner.start(spawn.StartContainerRequestCodec.decode(bytes));
  }

  async #starts(shape: Shape, warmUp: number, count: number): Promise<StartSample[]> {
    const samples: StartSample[] = [];
    for (let number = 0; number < warmUp + count; number += 1) {
      const prepared = await this.#containers.prepare(shape, ['/bin/true']);
      const began = performance.now();
      this.#watch.begin();
      const container = await this.#start(prepared);
      const running = performance.now() - began;
      const stages = this.#watch.end(container.main.directory.path);
      const { exitCode } = await container.main.exited;
      if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`);
      if (number >= warmUp) samples.push({ running, exited: performance.now() - began, stages });
      await this.#forget(container);
    }
    return samples;
  }

  async #many(count: number, parallel: number): Promise<unknown> {
    const requests: PreparedStart[] = [];
    while (requests.length < count) requests.push(await this.#containers.prepare('bundle', IDLE));
    const samples: number[] = [];
    const errors: string[] = [];
    const began = performance.now();
    const callers = Array.from({ length: parallel }, async () => {
      for (let next = requests.shift(); next !== undefined; next = requests.shift()) {
        const asked = performance.now();
        try {
          await this.#start(next);
          samples.push(performance.now() - asked);
        } catch (error) {
          errors.push(String(error));
        }
      }
    });
    await Promise.all(callers);
    return { total: performance.now() - began, samples, errors };
  }

  async #adopt(): Promise<unknown> {
    const began = performance.now();
    await this.spawner.adopt();
    const adopted = performance.now() - began;
    const containers = this.spawner.list();
    const running = containers.filter(({ main }) => main.exit === undefined).length;
    await this.#end(containers);
    return { adopted, running };
  }

  async #memory(file: string, attaches: number): Promise<unknown> {
    const go = join(this.#place.bundle, 'rootfs/go');
    rmSync(go, { force: true });
    const script = `until [ -e /go ]; do sleep 0.1; done; cat ${file}; exec sleep 100000`;
    const container = await this.#start(await this.#containers.prepare('bundle', ['/bin/sh', '-c', script]));
    try {
      const pid = container.main.directory.readStart()?.shimPid ?? 0;
      await delay(300);
      const idle = readPrivateKiB(pid);
      writeFileSync(go, '');
      await this.#untilLogged(container.id, statSync(this.#inRoot(file)).size);
      const logged = readPrivateKiB(pid);
      for (let number = 0; number < attaches; number += 1) await attachOnce(container);
      return { idle, logged, attached: readPrivateKiB(pid) };
    } finally {
      rmSync(go, { force: true });
      await this.#end([container]);
    }
  }

  async #log(file: string, rounds: number): Promise<unknown> {
    const bytes = readFileSync(this.#inRoot(file));
    const wanted = asLogged(bytes);
    const milliseconds: number[] = [];
    let comparison: LogComparison = { missing: 0, isEqual: true };
    for (let round = 0; round < rounds && comparison.isEqual; round += 1) {
      const prepared = await this.#containers.prepare('bundle', ['/bin/cat', file]);
      const container = await this.#start(prepared);
      const began = performance.now();
      await container.main.exited;
      milliseconds.push(performance.now() - began);
      comparison = compareLog(this.#containers.logOf(container.id), wanted);
      await this.#forget(container);
    }
    return { milliseconds, bytes: bytes.length, ...comparison };
  }

  #inRoot(file: string): string {
    return join(this.#place.bundle, 'rootfs', file);
  }

  async #untilLogged(id: string, bytes: number): Promise<void> {
    const size = (): number => statSync(this.#containers.logOf(id)).size;
    const end = Date.now() + 60_000;
    // The records hold more than the bytes; all are there when no more come.
    for (let before = -1, current = size(); current < bytes || current !== before; current = size()) {
      if (Date.now() > end) throw new Error(`${current} of ${bytes} bytes were logged in a minute`);
      before = current;
      await delay(300);
    }
  }

  async #end(containers: readonly Container[]): Promise<void> {
    for (const { main } of containers) main.signal(SIGKILL);
    for (const container of containers) {
      await container.main.exited;
      await this.#forget(container);
    }
  }

  async #forget({ id }: Container): Promise<void> {
    await this.spawner.forget(id);
    rmSync(this.#containers.logOf(id), { force: true });
  }
}

async function attachOnce({ main }: Container): Promise<void> {
  const connection = await ShimConnection.open(main.directory.path);
  connection.send(encodeAttach(attachFlag.output, 0, 0));
  const isAttached = (message: ShimMessage): message is ShimMessage & { kind: 'attached' } =>
    message.kind === 'attached';
  await connection.next(isAttached, 10_000);
  connection.close();
  await connection.closed;
}

/** What a process has for itself alone (proc_pid_smaps_rollup(5)). */
function readPrivateKiB(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)].reduce(
    (sum, [, kib]) => sum + Number(kib),
    0,
  );
}

const { place, task } = JSON.parse(process.argv[2] ?? '') as {
  readonly place: BenchPlace;
  readonly task: Task;
};
const driver = new Driver(place);
try {
  process.stdout.write(JSON.stringify(await driver.answer(task)));
} finally {
  driver.close();
}

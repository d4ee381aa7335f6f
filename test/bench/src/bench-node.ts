import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { busyboxLayer } from '@gantry/demo';
import { TestNode, assertNothingLeft, type Mode } from '@gantry/test-harness';
import type { DriverAnswers, DriverRequest, DriverTask } from './bus-messages.js';
import type { Cleanup } from './cleanup.js';
import { readMemory, readMemoryTogether, type ProcessMemory } from './process-memory.js';
import type { Workplace } from './workplace.js';

/** The image that every row but the pull runs, on both sides. */
export const boxImage = {
  reference: 'bench.gantry/box:1',
  layers: [busyboxLayer()],
  defaults: { Cmd: ['true'], Env: ['PATH=/bin'] },
};

const driver = fileURLToPath(new URL('bus-driver.js', import.meta.url));

/** Work of the driver that may be told to finish early. */
export interface DriverRun<T> {
  readonly answer: Promise<T>;
  finish(): void;
}

/** A node of Gantry as it is installed (pool of 16), on tmpfs, in a network namespace of its own. */
export class BenchNode {
  readonly node: TestNode;
  #isGone = false;

  private constructor(node: TestNode) {
    this.node = node;
  }

  static async start(cleanup: Cleanup, workplace: Workplace, mode: Mode, poolSize = 16): Promise<BenchNode> {
    const starting = TestNode.start({
      mode,
      images: [boxImage],
      parentDirectory: workplace.directory,
      // Ids enough for a hundred containers, the pool, and those that are being cleaned up.
      config: { network_manager: { pool_size: poolSize, id_base: 0x50000000, id_ranges: 1024 } },
    }).then((node) => new BenchNode(node));
    // Ctrl-C may come while it starts: then it is taken down as soon as it is there.
    cleanup.defer('the node', async () => {
      const started = await starting.catch(() => undefined);
      if (started !== undefined) await started.#destroy();
    });
    return starting;
  }

  /** Takes the node down as a user does; fails when something of it is left. */
  async stop(): Promise<void> {
    const state = await this.node.stop();
    assertNothingLeft(state, this.node);
    await this.#destroy();
  }

  /** Once: the node's slot may be another's afterwards. */
  async #destroy(): Promise<void> {
    if (this.#isGone) return;
    this.#isGone = true;
    await this.node.destroy();
  }

  /** Runs the command line; resolves with how long it took, in milliseconds. */
  async time(words: readonly string[], timeoutMs = 120_000): Promise<number> {
    const { code, stderr, milliseconds } = await this.node.gantry(words, { timeoutMs });
    if (code !== 0) throw new Error(`gantry ${words.join(' ')} ended with ${code}: ${stderr.trim()}`);
    return milliseconds;
  }

  /** Gantry's own processes and nats-server. */
  readMemory(): ProcessMemory {
    const processes = this.#pids.map(readMemory);
    const sum = (pick: (memory: ProcessMemory) => number): number =>
      processes.reduce((total, one) => total + pick(one), 0);
    return {
      residentKiB: sum(({ residentKiB }) => residentKiB),
      proportionalKiB: sum(({ proportionalKiB }) => proportionalKiB),
      privateKiB: sum(({ privateKiB }) => privateKiB),
    };
  }

  /** Resident KiB of the same processes, pages of one file counted once. */
  readMemoryTogether(): number {
    return readMemoryTogether(this.#pids);
  }

  get #pids(): readonly number[] {
    return [...this.node.processNames, 'nats-server'].map((name) => this.node.pidOf(name));
  }

  /** Memory of each container's shim. */
  async readShims(): Promise<ProcessMemory[]> {
    const { processes } = await this.node.readState();
    return processes
      .filter((line) => line.includes('gantry-shim'))
      .map((line) => readMemory(Number(line.split(' ')[0])));
  }

  drive<Kind extends DriverRequest['kind']>(
    request: DriverRequest & { readonly kind: Kind },
  ): DriverRun<DriverAnswers[Kind]> {
    const { node_id: nodeId } = JSON.parse(
      readFileSync(join(this.node.runDirectory, this.#readyFile), 'utf8'),
    ) as { node_id: string };
    const task: DriverTask = {
      natsUrl: `nats://127.0.0.1:${this.node.natsPort}`,
      nodeId,
      keyFile: join(this.node.stateDirectory, 'keys/api.nk'),
      request,
    };
    const [program, words] = this.node.network.wrap(process.execPath, [driver, JSON.stringify(task)]);
    const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    child.stdin.on('error', () => undefined);
    const text = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (text.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (text.stderr += chunk.toString()));
    const answer = new Promise<DriverAnswers[Kind]>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        if (code === 0) resolve(JSON.parse(text.stdout) as DriverAnswers[Kind]);
        else reject(new Error(`the driver's ${request.kind} ended with ${code}: ${text.stderr.trim()}`));
      });
    });
    return { answer, finish: () => child.stdin.end() };
  }

  get #readyFile(): string {
    return this.node.mode === 'one-process' ? 'gantryd.json' : 'gantryd-api.json';
  }
}

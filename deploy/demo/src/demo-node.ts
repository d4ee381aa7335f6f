import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const gantryd = join(root, 'bin/gantryd');
const startTimeoutMs = 60_000;

export interface NodeFacts {
  readonly node_id: string;
  readonly nats: { readonly port: number };
  readonly services: readonly { readonly name: string; readonly metrics_url: string }[];
}

/** The demo's node: everybody's usual addresses, so that `gantry` finds it, but state of its own that goes with it. */
export class DemoNode {
  readonly stateDirectory: string;
  readonly runDirectory = '/run/gantry';
  readonly #process: ChildProcess;
  readonly #ended: Promise<number>;

  private constructor(stateDirectory: string) {
    this.stateDirectory = stateDirectory;
    this.#process = spawn(
      gantryd,
      ['--state-dir', stateDirectory, '--run-dir', this.runDirectory, '--log-file', this.logFile],
      // A session of its own: Ctrl-C reaches us alone, and we end it in order.
      { stdio: ['ignore', 'ignore', 'inherit'], detached: true },
    );
    this.#ended = once(this.#process, 'exit').then(([code]) => (code as number | null) ?? 1);
  }

  static async start(): Promise<DemoNode> {
    const node = new DemoNode(mkdtempSync('/var/lib/gantry-demo-'));
    try {
      await node.#waitUntilReady();
    } catch (error) {
      await node.stop();
      throw error;
    }
    return node;
  }

  get logFile(): string {
    return join(this.stateDirectory, 'gantryd.log');
  }

  readFacts(): NodeFacts {
    return JSON.parse(readFileSync(join(this.runDirectory, 'gantryd.json'), 'utf8')) as NodeFacts;
  }

  /** Resolves with gantryd's exit code when it ends by itself. */
  get ended(): Promise<number> {
    return this.#ended;
  }

  /** Containers are stopped, everything the node made is given back, its state is deleted. */
  async stop(): Promise<boolean> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill('SIGINT');
    const code = await this.#ended;
    rmSync(this.stateDirectory, { recursive: true, force: true });
    return code === 0;
  }

  async #waitUntilReady(): Promise<void> {
    const deadline = performance.now() + startTimeoutMs;
    let exitCode: number | undefined;
    void this.#ended.then((code) => (exitCode = code));
    while (performance.now() < deadline) {
      if (exitCode !== undefined) throw new Error('the node did not start');
      try {
        if (
          (JSON.parse(readFileSync(join(this.runDirectory, 'gantryd.json'), 'utf8')) as { pid: number })
            .pid === this.#process.pid
        )
          return;
      } catch {
        // not yet
      }
      await sleep(20);
    }
    throw new Error(`the node was not ready within ${startTimeoutMs / 1000} s, see ${this.logFile}`);
  }
}

/** Runs `gantry` with these words; rejects when it fails, with what it said. */
export async function gantry(...words: readonly string[]): Promise<string> {
  const child = spawn(join(root, 'bin/gantry'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let complaint = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0)
    throw new Error(`gantry ${words.join(' ')} ended with ${code}: ${(complaint || output).trim()}`);
  return output;
}

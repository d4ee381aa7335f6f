import { randomBytes } from 'node:crypto';
import { spawn } from '@gantry/protocol';
import type { Container } from './container.js';
import type { AgentContext } from './context.js';
import { execProcess } from './execs.js';
import {
  FIRST_HEALTH,
  nextCheckDelayMs,
  nextHealth,
  type HealthResult,
  type HealthState,
} from './health-state.js';
import { reasonOf } from './refuse.js';
import type { UserLookup } from './user-lookup.js';

/** Bytes of a check's output that are kept. */
const OUTPUT_BYTES = 4096;
const SIGKILL = 9;

/** Runs the health check of one attempt of one container, one at a time. */
export class HealthMonitor {
  state: HealthState = FIRST_HEALTH;
  readonly #context: AgentContext;
  readonly #container: Container;
  readonly #users: UserLookup;
  readonly #stopped = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(context: AgentContext, container: Container, users: UserLookup) {
    this.#context = context;
    this.#container = container;
    this.#users = users;
  }

  /** `now`: the container has been up for a while, and how it fares is not known. */
  start(now: boolean): void {
    if (now) void this.#run().finally(() => this.#schedule());
    else this.#schedule();
  }

  stop(): void {
    this.#stopped.abort();
    clearTimeout(this.#timer);
  }

  get #check() {
    return this.#container.record.execution.healthCheck;
  }

  get #startedUnixMs(): number {
    return this.#container.life.startedUnixNanos / 1e6;
  }

  #schedule(): void {
    const check = this.#check;
    if (check === undefined || this.#stopped.signal.aborted) return;
    const delayMs = nextCheckDelayMs(this.state, check, this.#startedUnixMs, Date.now());
    this.#timer = setTimeout(() => void this.#run().finally(() => this.#schedule()), delayMs);
  }

  async #run(): Promise<void> {
    const check = this.#check;
    if (check === undefined || this.#container.life.state !== 'running') return;
    const startUnixMs = Date.now();
    const { exitCode, output } = await this.#probe(check.test, check.timeoutMs);
    if (this.#stopped.signal.aborted) return;
    const result: HealthResult = { startUnixMs, endUnixMs: Date.now(), exitCode, output };
    this.#context.metrics.healthChecks.inc({ result: exitCode === 0 ? 'success' : 'failure' });
    const before = this.state.status;
    this.state = nextHealth(this.state, result, check, this.#startedUnixMs);
    if (this.state.status !== before) this.#container.emit(`health_status: ${this.state.status}`);
  }

  async #probe(test: readonly string[], timeoutMs: number): Promise<{ exitCode: number; output: string }> {
    const [kind = '', ...rest] = test;
    const command = kind === 'CMD-SHELL' ? ['/bin/sh', '-c', rest.join(' ')] : rest;
    const { bus } = this.#context;
    const containerId = this.#container.id;
    const execId = randomBytes(32).toString('hex');
    const deadline = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#stopped.signal]);
    let text = '';
    try {
      const wish = {
        command,
        environment: [],
        workingDirectory: '',
        user: '',
        terminal: false,
        openStdin: false,
        privileged: false,
      };
      const process = execProcess(this.#container, wish, this.#users);
      const processJson = Buffer.from(JSON.stringify(process));
      await bus.call(spawn.Spawner.methods.StartExec, {
        containerId,
        execId,
        processJson,
        openStdin: false,
        holdOutput: true,
      });
      const stream = await bus.openStream(
        spawn.Spawner.methods.AttachProcess,
        { open: { containerId, execId } },
        { signal: deadline },
      );
      for await (const output of stream) {
        const bytes = output.stdout ?? output.stderr;
        if (bytes !== undefined && text.length < OUTPUT_BYTES)
          text = (text + Buffer.from(bytes).toString('utf8')).slice(0, OUTPUT_BYTES);
        if (output.exit !== undefined) return { exitCode: output.exit.exitCode, output: text };
      }
      throw new Error('the check ended without an exit code');
    } catch (error) {
      if (!deadline.aborted) return { exitCode: -1, output: reasonOf(error) };
      await bus
        .call(spawn.Spawner.methods.SignalExec, { containerId, execId, signal: SIGKILL })
        .catch(() => undefined);
      return {
        exitCode: -1,
        output: `health check did not end within ${timeoutMs} ms${text === '' ? '' : `: ${text}`}`,
      };
    }
  }
}

import { randomBytes } from 'node:crypto';
import { CAPABILITIES, composeProcess, mergeEnvironment, resolveUlimits } from '@gantry/oci';
import type { Init } from '@gantry/protocol';
import { spawn, type node } from '@gantry/protocol';
import { proxyAttach } from './attach.js';
import { InputPump } from './input-pump.js';
import { capabilitiesOf, environmentOf } from './container-facts.js';
import type { Container } from './container.js';
import type { AgentContext } from './context.js';
import { refusal } from './refuse.js';
import type { UserLookup } from './user-lookup.js';
import { parseSecurityOptions } from './validate-spec.js';

/** Ended execs that can still be asked about. */
const KEPT_EXECS = 512;

export interface ExecWish {
  readonly command: readonly string[];
  readonly environment: readonly string[];
  readonly workingDirectory: string;
  readonly user: string;
  readonly terminal: boolean;
  readonly openStdin: boolean;
  readonly privileged: boolean;
}

interface Exec {
  readonly id: string;
  readonly container: Container;
  readonly wish: ExecWish;
  pid: number;
  started: boolean;
  exitCode: number | undefined;
}

/** The `process` object of a further process in a running container. */
export function execProcess(container: Container, wish: ExecWish, users: UserLookup) {
  const { record, life } = container;
  const user = users.inRunning(life.pid, {
    user: wish.user === '' ? record.execution.user : wish.user,
    groups: wish.user === '' ? record.spec.groups : [],
  });
  const rlimits = resolveUlimits(record.spec.ulimits);
  return composeProcess({
    args: wish.command,
    environment: mergeEnvironment(environmentOf(record, user, wish.terminal), wish.environment),
    workingDirectory:
      wish.workingDirectory === '' ? record.execution.workingDirectory : wish.workingDirectory,
    user,
    terminal: wish.terminal,
    capabilities: wish.privileged ? CAPABILITIES : capabilitiesOf(record),
    noNewPrivileges: parseSecurityOptions(record.spec.securityOptions).noNewPrivileges,
    rlimits: rlimits.ok ? rlimits.value : [],
    oomScoreAdjust: record.spec.oomScoreAdjust,
  });
}

/** Further processes in running containers. */
export class Execs {
  readonly #context: AgentContext;
  readonly #users: UserLookup;
  readonly #execs = new Map<string, Exec>();

  constructor(context: AgentContext, users: UserLookup) {
    this.#context = context;
    this.#users = users;
  }

  create(container: Container, wish: ExecWish): string {
    this.#requireRunning(container, 'CreateExec');
    if (wish.command.length === 0 || wish.command[0] === '')
      throw refusal('invalid_argument', 'CreateExec', container.id, 'no command is given');
    if (wish.workingDirectory !== '' && !wish.workingDirectory.startsWith('/'))
      throw refusal(
        'invalid_argument',
        'CreateExec',
        container.id,
        `working directory ${JSON.stringify(wish.workingDirectory)} is not absolute`,
      );
    const id = randomBytes(32).toString('hex');
    this.#execs.set(id, { id, container, wish, pid: 0, started: false, exitCode: undefined });
    this.#forgetOldest();
    container.emit(`exec_create: ${wish.command.join(' ')}`, { execID: id });
    return id;
  }

  /** Starts it and, unless detached, carries its bytes until it ends. */
  async *start(
    opening: { readonly open: node.AttachOpen; readonly rest: AsyncIterator<node.AttachInput> },
    signal: AbortSignal,
  ): AsyncGenerator<Init<node.AttachOutput>> {
    const { open, rest } = opening;
    const exec = this.#find(open.execId, 'StartExec');
    const { container, wish } = exec;
    this.#requireRunning(container, 'StartExec');
    if (exec.started)
      throw refusal(
        'failed_precondition',
        'StartExec',
        exec.id,
        `exec ${exec.id.slice(0, 12)} has been started already`,
      );
    exec.started = true;
    const process = execProcess(container, wish, this.#users);
    const size =
      wish.terminal && open.rows > 0 && open.columns > 0
        ? { consoleSize: { height: open.rows, width: open.columns } }
        : {};
    const { pid } = await this.#context.bus.call(spawn.Spawner.methods.StartExec, {
      containerId: container.id,
      execId: exec.id,
      processJson: Buffer.from(JSON.stringify({ ...process, ...size })),
      openStdin: wish.openStdin && !open.detach,
      holdOutput: !open.detach,
    });
    exec.pid = pid;
    container.emit(`exec_start: ${wish.command.join(' ')}`, { execID: exec.id });
    if (open.detach) {
      yield { attached: true };
      return;
    }
    const inputs = new InputPump(rest, { containerId: container.id, execId: exec.id });
    for await (const output of proxyAttach(
      this.#context,
      { containerId: container.id, execId: exec.id, open, inputs },
      signal,
    )) {
      if (output.exitCode !== undefined) exec.exitCode ??= output.exitCode;
      yield output;
    }
  }

  /** A process-exited event with an exec id. */
  exited(execId: string, exitCode: number): void {
    const exec = this.#execs.get(execId);
    if (exec === undefined) return;
    exec.exitCode ??= exitCode;
    exec.container.emit('exec_die', { execID: execId, exitCode: String(exitCode) });
  }

  async inspect(execId: string): Promise<Init<node.InspectExecResponse>> {
    const exec = this.#find(execId, 'InspectExec');
    if (exec.started && exec.exitCode === undefined && exec.pid > 0) {
      // The event may have been missed: the spawner knows.
      const known = await this.#context.bus
        .call(spawn.Spawner.methods.GetExec, { containerId: exec.container.id, execId })
        .catch(() => undefined);
      if (known?.exit !== undefined) exec.exitCode = known.exit.exitCode;
    }
    const { container, pid, exitCode, started } = exec;
    return {
      containerId: container.id,
      running: started && pid > 0 && exitCode === undefined,
      exitCode,
      pid,
    };
  }

  containerOf(execId: string): Container {
    return this.#find(execId, 'ResizeTerminal').container;
  }

  forget(container: Container): void {
    for (const exec of this.#execs.values()) if (exec.container === container) this.#execs.delete(exec.id);
  }

  #find(execId: string, operation: string): Exec {
    const exec = this.#execs.get(execId);
    if (exec === undefined)
      throw refusal('not_found', operation, execId, `there is no exec ${execId.slice(0, 12)}`);
    return exec;
  }

  #forgetOldest(): void {
    if (this.#execs.size <= KEPT_EXECS) return;
    for (const { id, exitCode, container } of this.#execs.values()) {
      if (exitCode === undefined && container.running) continue;
      this.#execs.delete(id);
      return;
    }
  }

  #requireRunning(container: Container, operation: string): void {
    const { state } = container.life;
    if (state === 'running') return;
    const hint = state === 'paused' ? 'paused: unpause it first' : 'not running';
    throw refusal(
      'failed_precondition',
      operation,
      container.id,
      `container ${container.record.name} is ${hint}`,
    );
  }
}

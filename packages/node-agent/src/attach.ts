import type { Init } from '@gantry/protocol';
import { GantryError, isGantryError, spawn, type node } from '@gantry/protocol';
import type { Container } from './container.js';
import type { AgentContext } from './context.js';
import { InputPump } from './input-pump.js';
import { readLogs } from './read-logs.js';
import { refusal } from './refuse.js';
import { logPath } from './start-attempt.js';

type Output = Init<node.AttachOutput>;
type SpawnStream = Awaited<ReturnType<AgentContext['bus']['openStream']>> & AsyncIterable<spawn.AttachOutput>;

/** The first message of an attach stream, and what follows it. */
export async function openingOf(
  inputs: AsyncIterable<node.AttachInput>,
  operation: string,
): Promise<{ readonly open: node.AttachOpen; readonly rest: AsyncIterator<node.AttachInput> }> {
  const rest = inputs[Symbol.asyncIterator]();
  const first = await rest.next();
  const open = first.done === true ? undefined : first.value.open;
  if (open === undefined)
    throw refusal('invalid_argument', operation, '', 'the first message of an attach must be open');
  return { open, rest };
}

export interface AttachTarget {
  readonly containerId: string;
  /** Empty: the container's own. */
  readonly execId: string;
  readonly open: node.AttachOpen;
  readonly inputs: InputPump;
}

/** Carries bytes between a client and a process until it exits or the client leaves; flow control is the streams'. */
export async function* proxyAttach(
  context: AgentContext,
  target: AttachTarget,
  signal: AbortSignal,
): AsyncGenerator<Output> {
  const { containerId, execId, open } = target;
  const stream = await context.bus.openStream(
    spawn.Spawner.methods.AttachProcess,
    { open: { containerId, execId, stdin: open.stdin, rows: open.rows, columns: open.columns } },
    { signal },
  );
  target.inputs.flowInto(stream);
  for await (const output of stream as SpawnStream) {
    if (output.attached !== undefined) yield { attached: true };
    else if (output.stdout !== undefined) yield { stdout: output.stdout };
    else if (output.stderr !== undefined) yield { stderr: output.stderr };
    else if (output.exit !== undefined) {
      yield { exitCode: output.exit.exitCode };
      return;
    }
  }
}

async function* keptOutput(
  context: AgentContext,
  container: Container,
  signal: AbortSignal,
): AsyncGenerator<Output> {
  const batches = readLogs({
    path: logPath(context, container.id),
    follow: false,
    tail: undefined,
    stdout: true,
    stderr: true,
    sinceUnixNanos: 0,
    untilUnixNanos: 0,
    writing: () => false,
    signal,
  });
  for await (const batch of batches)
    for (const { stream, data } of batch) yield stream === 'stderr' ? { stderr: data } : { stdout: data };
}

/** Resolves when the container runs; rejects when the client leaves or the container goes first. */
function untilStarted(container: Container, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = container.onStarted(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    const onAbort = (): void => {
      stop();
      reject(
        refusal(
          'unavailable',
          'AttachContainer',
          container.id,
          `the attach to ${container.record.name} was given up`,
        ),
      );
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * Attaches to a container's first process. To one that does not run yet it attaches at its start, and the start holds
 * the process's output back meanwhile, so that not a byte is missed.
 */
export async function* attachContainer(
  context: AgentContext,
  container: Container,
  opening: { readonly open: node.AttachOpen; readonly rest: AsyncIterator<node.AttachInput> },
  signal: AbortSignal,
): AsyncGenerator<Output> {
  const { open, rest } = opening;
  if (open.logs) yield* keptOutput(context, container, signal);
  let attached = false;
  if (!container.running) {
    container.pendingAttachments += 1;
    if (open.rows > 0 && open.columns > 0)
      container.terminalSize = { rows: open.rows, columns: open.columns };
    const removed = new AbortController();
    void container.wait('removed', signal).then(
      () => removed.abort(),
      () => undefined,
    );
    const started = untilStarted(container, AbortSignal.any([signal, removed.signal]));
    started.catch(() => undefined);
    try {
      // Registered: whoever starts it now knows that somebody waits.
      yield { attached: true };
      attached = true;
      await started;
    } finally {
      container.pendingAttachments -= 1;
    }
  }
  const { attempt } = container.life;
  const inputs = new InputPump(rest, { containerId: container.id, execId: '' });
  for (;;) {
    try {
      for await (const output of proxyAttach(
        context,
        { containerId: container.id, execId: '', open, inputs },
        signal,
      )) {
        if (output.attached === true && attached) continue;
        attached ||= output.attached === true;
        yield output;
        if (output.exitCode !== undefined) return;
      }
      throw new GantryError({
        code: 'unavailable',
        operation: 'AttachContainer',
        object: container.id,
        message: 'the attach stream ended early',
      });
    } catch (error) {
      // The spawner was restarted under us, or the process had ended before we came: neither is the client's loss.
      if (signal.aborted) throw error;
      if (
        !isGantryError(error, 'unavailable') &&
        !isGantryError(error, 'not_found') &&
        !isGantryError(error, 'failed_precondition')
      )
        throw error;
      await container.askProcess();
      if (container.life.attempt === attempt && container.running) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      yield { exitCode: container.life.exitCode };
      return;
    }
  }
}

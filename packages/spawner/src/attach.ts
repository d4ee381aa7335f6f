import { setTimeout as delay } from 'node:timers/promises';
import { GantryError, type Init, type spawn } from '@gantry/protocol';
import { ShimConnection } from './shim-connection.js';
import {
  attachFlag,
  encodeAttach,
  encodeFrame,
  encodeResize,
  encodeStdin,
  frameKind,
  type ShimMessage,
} from './shim-protocol.js';
import type { Spawner } from './spawner.js';
import { errnoText } from './start-failure.js';
import type { SupervisedProcess } from './supervised-process.js';
import { exitStatus } from './wire.js';

const OPERATION = 'AttachProcess';
/** The shim's word for too many clients. */
const EUSERS = 87;
const ATTACH_TIMEOUT_MS = 10_000;
/** How long the exit is waited for when the shim closed without telling it. */
const EXIT_WAIT_MS = 5000;
/** Output kept for a slow caller before the shim is no longer read from. */
const MOST_BUFFERED_BYTES = 4 << 20;
/** One message's worth; the bus refuses above 512 KiB. */
const LARGEST_OUTPUT_BYTES = 256 << 10;

type AttachAnswer = Extract<ShimMessage, { kind: 'attached' | 'result' }>;
type Output = Extract<ShimMessage, { kind: 'stdout' | 'stderr' | 'exit' }>;

/** What comes from the shim, waiting to be taken; pauses the socket while too much waits. */
class OutputQueue {
  readonly #connection: ShimConnection;
  readonly #messages: Output[] = [];
  #bytes = 0;
  #paused = false;
  #ended = false;
  #wake: () => void = () => {};

  constructor(connection: ShimConnection) {
    this.#connection = connection;
    connection.listen((message) => {
      if (message.kind !== 'stdout' && message.kind !== 'stderr' && message.kind !== 'exit') return;
      this.#messages.push(message);
      this.#bytes += message.kind === 'exit' ? 0 : message.data.length;
      if (this.#bytes > MOST_BUFFERED_BYTES && !this.#paused) {
        this.#paused = true;
        connection.pause();
      }
      this.#wake();
    });
    void connection.closed.then(() => this.end());
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The next message, output of the same stream put together; undefined at the end. */
  async take(): Promise<Output | undefined> {
    while (this.#messages.length === 0 && !this.#ended)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    const first = this.#messages.shift();
    if (first === undefined || first.kind === 'exit') return first;
    const parts = [first.data];
    let size = first.data.length;
    for (
      let next = this.#messages[0];
      next?.kind === first.kind && size + next.data.length <= LARGEST_OUTPUT_BYTES;
      next = this.#messages[0]
    ) {
      parts.push(next.data);
      size += next.data.length;
      this.#messages.shift();
    }
    this.#bytes -= size;
    if (this.#paused && this.#bytes < MOST_BUFFERED_BYTES / 2) {
      this.#paused = false;
      this.#connection.resume();
    }
    return { kind: first.kind, data: Buffer.concat(parts, size) };
  }
}

async function pumpInput(
  inputs: AsyncIterator<spawn.AttachInput>,
  connection: ShimConnection,
): Promise<void> {
  for (let step = await inputs.next(); step.done !== true; step = await inputs.next()) {
    const { stdin, stdinEof, resize } = step.value;
    if (stdin !== undefined && !connection.send(encodeStdin(stdin))) await connection.drained();
    if (stdinEof === true) connection.send(encodeFrame(frameKind.stdinEof));
    if (resize !== undefined) connection.send(encodeResize(resize.rows, resize.columns));
  }
}

interface Target {
  readonly process: SupervisedProcess;
  /** The process waits for this client rather than lose output. */
  readonly lossless: boolean;
}

function findTarget(spawner: Spawner, { containerId, execId }: spawn.AttachOpen): Target {
  const container = spawner.find(containerId);
  const process = execId === '' ? container?.main : container?.execs.get(execId);
  if (process !== undefined) return { process, lossless: process.takeHold() };
  const object = execId === '' ? containerId : execId;
  const what = execId === '' ? 'container' : 'exec';
  throw new GantryError({
    code: 'not_found',
    operation: OPERATION,
    object,
    message: `${what} ${object} is not known`,
  });
}

async function connectTo(target: Target, open: spawn.AttachOpen): Promise<ShimConnection | undefined> {
  if (target.process.exit !== undefined && open.execId === '') return undefined;
  let connection: ShimConnection | undefined;
  let answer: AttachAnswer;
  try {
    connection = await ShimConnection.open(target.process.directory.path);
    const flags =
      attachFlag.output | (open.stdin ? attachFlag.stdin : 0) | (target.lossless ? attachFlag.lossless : 0);
    connection.send(encodeAttach(flags, open.rows, open.columns));
    answer = await connection.next(
      (message): message is AttachAnswer => message.kind === 'attached' || message.kind === 'result',
      ATTACH_TIMEOUT_MS,
    );
  } catch {
    // The shim has ended between our look and the connection; its record tells the rest.
    connection?.close();
    return undefined;
  }
  if (answer.kind === 'attached') return connection;
  connection.close();
  const object = open.execId === '' ? open.containerId : open.execId;
  if (answer.errno === EUSERS)
    throw new GantryError({
      code: 'resource_exhausted',
      operation: OPERATION,
      object,
      message: `${object} has as many attached clients as its shim serves`,
      retryable: true,
    });
  throw new GantryError({
    code: 'unavailable',
    operation: OPERATION,
    object,
    message: `cannot attach to ${object}: ${errnoText(answer.errno)}`,
  });
}

/** Serves one attached client until the process has exited or the client leaves. */
export async function* attachProcess(
  spawner: Spawner,
  inputs: AsyncIterable<spawn.AttachInput>,
  signal: AbortSignal,
): AsyncGenerator<Init<spawn.AttachOutput>> {
  const iterator = inputs[Symbol.asyncIterator]();
  const first = await iterator.next();
  const open = first.done === true ? undefined : first.value.open;
  if (open === undefined)
    throw new GantryError({
      code: 'invalid_argument',
      operation: OPERATION,
      message: 'the first message of an attach is not open',
    });

  const target = findTarget(spawner, open);
  const connection = await connectTo(target, open);
  // Whenever the client leaves, told or not: a connection that nobody reads would be kept, with all that it is sent.
  const leave = (): void => connection?.close();
  signal.addEventListener('abort', leave, { once: true });
  try {
    signal.throwIfAborted();
    yield { attached: true };
    if (connection !== undefined) {
      const queue = new OutputQueue(connection);
      void pumpInput(iterator, connection).catch(() => {});
      for (let message = await queue.take(); message !== undefined; message = await queue.take()) {
        if (message.kind === 'exit') {
          yield { exit: exitStatus({ ...message.exit, lost: false }) };
          return;
        }
        yield message.kind === 'stdout' ? { stdout: message.data } : { stderr: message.data };
      }
      if (signal.aborted) return;
    }
  } finally {
    signal.removeEventListener('abort', leave);
    leave();
  }
  const exit = await Promise.race([target.process.exited, delay(EXIT_WAIT_MS, undefined, { ref: false })]);
  if (exit === undefined)
    throw new GantryError({
      code: 'unavailable',
      operation: OPERATION,
      object: open.containerId,
      message: `attached to ${open.containerId} no longer: its output was not taken fast enough`,
    });
  yield { exit: exitStatus(exit) };
}

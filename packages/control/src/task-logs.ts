import { agentSubject, type Bus } from '@gantry/bus';
import { GantryError, asGantryError, node, type Init, type control } from '@gantry/protocol';
import { displayName, stateOf, taskName } from './placement.js';
import type { ClusterState } from './state.js';

/** Entries of one message: with lines of 16 KiB it stays under the bus' limit. */
const batchBytes = 256 * 1024;
/** Tasks whose output is read at once; without `follow` the others wait. */
const readersAtOnce = 64;
const defaultAbsentAgentWaitMs = 3_000;
/** With `follow` new tasks are looked for this often, milliseconds. */
const lookAgainMs = 1_000;

export interface TaskLogsContext {
  /** Connection of control in the account CLUSTER. */
  readonly bus: Bus;
  readonly state: ClusterState;
  /** How long an agent that does not answer is waited for, milliseconds; 3,000 when absent. */
  readonly absentAgentWaitMs?: number | undefined;
}

type Request = Pick<
  control.ReadTaskLogsRequest,
  'stack' | 'service' | 'task' | 'follow' | 'tail' | 'sinceUnixNanos'
>;

/** Output of tasks from all their nodes, one message for what has come. A node that cannot be read is a warning, not an error. */
export async function* readTaskLogs(
  { bus, state, absentAgentWaitMs = defaultAbsentAgentWaitMs }: TaskLogsContext,
  request: Request,
  signal: AbortSignal,
): AsyncGenerator<Init<control.ReadTaskLogsResponse>> {
  const tasksOf = selector(state, request);
  const over = new AbortController();
  const within = AbortSignal.any([signal, over.signal]);
  const gathered = new Gathered();
  const known = new Set<string>();
  const waiting: control.Task[] = [];
  let reading = 0;

  const readNext = (): void => {
    while (reading < readersAtOnce || request.follow) {
      const task = waiting.shift();
      if (task === undefined) return;
      reading += 1;
      void readOne({ bus, task, request, signal: within, gathered, waitMs: absentAgentWaitMs }).finally(
        () => {
          reading -= 1;
          readNext();
          gathered.wake();
        },
      );
    }
  };
  const look = (): void => {
    for (const task of tasksOf()) {
      // What control had stopped left no container, and so no output, on its node.
      if (task.nodeId === '' || known.has(task.id) || stateOf(task) === 'TASK_STATE_SHUTDOWN') continue;
      known.add(task.id);
      waiting.push(task);
    }
    readNext();
  };

  look();
  const timer = request.follow ? setInterval(look, lookAgainMs) : undefined;
  const wake = (): void => gathered.wake();
  within.addEventListener('abort', wake, { once: true });
  try {
    for (;;) {
      const message = gathered.take();
      if (message !== undefined) yield message;
      else if (signal.aborted || (!request.follow && reading === 0)) return;
      else await gathered.more();
    }
  } finally {
    clearInterval(timer);
    over.abort();
  }
}

interface Reading {
  readonly bus: Bus;
  readonly task: control.Task;
  readonly request: Request;
  readonly signal: AbortSignal;
  readonly gathered: Gathered;
  readonly waitMs: number;
}

async function readOne({ bus, task, request, signal, gathered, waitMs }: Reading): Promise<void> {
  const method = node.ClusterAgent.methods.ReadTaskOutput;
  const { follow, tail, sinceUnixNanos } = request;
  const name = taskName(task);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), waitMs);
  try {
    const stream = await bus.openStream(
      method,
      { taskId: task.id, follow, tail, sinceUnixNanos },
      { signal: AbortSignal.any([signal, late.signal]), subject: agentSubject(task.nodeId, method.name) },
    );
    clearTimeout(timer);
    for await (const { entries } of stream) {
      for (const entry of entries)
        gathered.add({ taskId: task.id, taskName: name, nodeId: task.nodeId, entry });
      await gathered.room(signal);
      if (signal.aborted) return;
    }
  } catch (error) {
    if (signal.aborted) return;
    const reason = late.signal.aborted
      ? 'the node does not answer'
      : asGantryError(error, method.name).message;
    gathered.warn(`the output of ${name} on node ${task.nodeId} cannot be read: ${reason}`);
  } finally {
    clearTimeout(timer);
  }
}

/** Which tasks are meant: looked up again at each call. Throws when there is no such stack, service or task. */
function selector(state: ClusterState, { stack, service, task }: Request): () => control.Task[] {
  if ([stack, service, task].filter((one) => one !== '').length !== 1)
    throw refusal('invalid_argument', 'name one of stack, service and task', '');
  if (task !== '') {
    const { id } = onlyOne('task', task, state.tasks.all(), (one) => [taskName(one)]);
    return () => [state.tasks.get(id)].flatMap((one) => one ?? []);
  }
  if (service !== '') {
    const { id } = onlyOne('service', service, state.services.values(), (one) => [
      displayName(one.stack, one.spec?.name ?? ''),
    ]);
    return () => state.tasks.ofService(id);
  }
  if (!state.stacks.has(stack)) throw refusal('not_found', `there is no stack ${stack}`, stack);
  return () => state.tasks.all().filter((one) => one.stack === stack);
}

/** By whole id, name, or unique prefix of an id. Of several with one name (a slot's history) the newest is meant. */
function onlyOne<T extends { readonly id: string; readonly createdUnixMs: number }>(
  kind: string,
  reference: string,
  all: Iterable<T>,
  namesOf: (one: T) => readonly string[],
): T {
  const items = [...all];
  const exact = items.find(({ id }) => id === reference);
  if (exact !== undefined) return exact;
  const [named] = items
    .filter((one) => namesOf(one).includes(reference))
    .sort((a, b) => b.createdUnixMs - a.createdUnixMs);
  if (named !== undefined) return named;
  const [first, ...others] = items.filter(({ id }) => id.startsWith(reference));
  if (first === undefined) throw refusal('not_found', `there is no ${kind} ${reference}`, reference);
  if (others.length > 0)
    throw refusal('invalid_argument', `${reference} is the beginning of several ${kind}s' ids`, reference);
  return first;
}

function refusal(code: 'not_found' | 'invalid_argument', message: string, object: string): GantryError {
  return new GantryError({ code, operation: 'ReadTaskLogs', object, message });
}

/** What has come from all nodes and was not sent yet: readers wait while it is more than two messages. */
class Gathered {
  #entries: control.TaskLogEntry[] = [];
  #bytes = 0;
  #warnings: string[] = [];
  #wake: () => void = () => undefined;
  #waitingReaders: (() => void)[] = [];

  add(entry: control.TaskLogEntry): void {
    this.#entries.push(entry);
    this.#bytes += sizeOf(entry);
    this.#wake();
  }

  warn(text: string): void {
    this.#warnings.push(text);
    this.#wake();
  }

  wake(): void {
    this.#wake();
    for (const go of this.#waitingReaders.splice(0)) go();
  }

  more(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  async room(signal: AbortSignal): Promise<void> {
    while (this.#bytes > 2 * batchBytes && !signal.aborted)
      await new Promise<void>((resolve) => this.#waitingReaders.push(resolve));
  }

  /** What goes into one message; undefined when there is nothing. */
  take(): Init<control.ReadTaskLogsResponse> | undefined {
    if (this.#entries.length === 0 && this.#warnings.length === 0) return undefined;
    let count = 0;
    let bytes = 0;
    while (count < this.#entries.length && bytes < batchBytes) {
      const entry = this.#entries[count];
      bytes += entry === undefined ? 0 : sizeOf(entry);
      count += 1;
    }
    const entries = this.#entries.splice(0, count);
    this.#bytes -= bytes;
    for (const go of this.#waitingReaders.splice(0)) go();
    return { entries, warnings: this.#warnings.splice(0) };
  }
}

const sizeOf = ({ entry }: control.TaskLogEntry): number => (entry?.data.byteLength ?? 0) + 200;

import type { Handlers } from '@gantry/bus';
import { GantryError, type spawn } from '@gantry/protocol';
import { attachProcess } from './attach.js';
import { describeProcess } from './describe.js';
import { reportKernel } from './host.js';
import type { SpawnerMetrics } from './metrics.js';
import { isId } from './runtime-records.js';
import type { Spawner } from './spawner.js';
import type { SupervisedProcess } from './supervised-process.js';
import { containerState, exitStatus } from './wire.js';

const LARGEST_PAGE = 500;
const LARGEST_SIGNAL = 64;

function checkId(operation: string, what: string, id: string): void {
  if (!isId(id))
    throw new GantryError({
      code: 'invalid_argument',
      operation,
      object: id,
      message: `${what} id ${JSON.stringify(id)} is not 64 hex digits`,
    });
}

function checkSignal(operation: string, id: string, signal: number): void {
  if (!Number.isInteger(signal) || signal < 1 || signal > LARGEST_SIGNAL)
    throw new GantryError({
      code: 'invalid_argument',
      operation,
      object: id,
      message: `signal ${signal} is not from 1 to ${LARGEST_SIGNAL}`,
    });
}

function deliver(
  operation: string,
  what: string,
  id: string,
  process: SupervisedProcess,
  signal: number,
): void {
  checkSignal(operation, id, signal);
  if (!process.signal(signal))
    throw new GantryError({
      code: 'failed_precondition',
      operation,
      object: id,
      message: `${what} ${id} is not running`,
    });
}

/** The methods of spawn.proto over the spawner. */
export function createHandlers(
  spawner: Spawner,
  metrics: SpawnerMetrics,
  version: string,
): Handlers<typeof spawn.Spawner> {
  const known = (operation: string, id: string) => {
    checkId(operation, 'container', id);
    const container = spawner.find(id);
    if (container === undefined)
      throw new GantryError({
        code: 'not_found',
        operation,
        object: id,
        message: `container ${id} is not known`,
      });
    return container;
  };
  const knownExec = (operation: string, containerId: string, execId: string) => {
    checkId(operation, 'exec', execId);
    const exec = known(operation, containerId).execs.get(execId);
    if (exec === undefined)
      throw new GantryError({
        code: 'not_found',
        operation,
        object: execId,
        message: `exec ${execId} is not known`,
      });
    return exec;
  };
  const timed = async <T>(kind: 'container' | 'exec', work: () => Promise<T>): Promise<T> => {
    const stop = metrics.startSeconds.startTimer({ kind });
    try {
      const result = await work();
      metrics.starts.inc({ kind, result: 'ok' });
      return result;
    } catch (error) {
      metrics.starts.inc({ kind, result: 'error' });
      throw error;
    } finally {
      stop();
    }
  };

  return {
    async StartContainer(request) {
      checkId('StartContainer', 'container', request.containerId);
      if (request.attempt < 1)
        throw new GantryError({
          code: 'invalid_argument',
          operation: 'StartContainer',
          object: request.containerId,
          message: `attempt ${request.attempt} is not 1 or more`,
        });
      const { main } = await timed('container', () => spawner.start(request));
      return {
        pid: main.start.pid,
        shimPid: main.start.shimPid,
        startedUnixNanos: Number(main.start.startedUnixNanos),
      };
    },
    async SignalContainer({ containerId, signal }) {
      deliver(
        'SignalContainer',
        'container',
        containerId,
        known('SignalContainer', containerId).main,
        signal,
      );
      return {};
    },
    async GetContainer({ containerId }) {
      return { container: containerState(known('GetContainer', containerId)) };
    },
    async ListContainers({ pageSize, pageToken }) {
      const size = pageSize === 0 ? LARGEST_PAGE : Math.min(pageSize, LARGEST_PAGE);
      const rest = spawner.list().filter(({ id }) => id > pageToken);
      const page = rest.slice(0, size);
      return {
        containers: page.map(containerState),
        nextPageToken: rest.length > size ? (page.at(-1)?.id ?? '') : '',
      };
    },
    async DeleteContainer({ containerId }) {
      checkId('DeleteContainer', 'container', containerId);
      await spawner.forget(containerId);
      return {};
    },
    async StartExec(request) {
      checkId('StartExec', 'container', request.containerId);
      checkId('StartExec', 'exec', request.execId);
      const exec = await timed('exec', () => spawner.startExec(request));
      return { pid: exec.start.pid };
    },
    async SignalExec({ containerId, execId, signal }) {
      deliver('SignalExec', 'exec', execId, knownExec('SignalExec', containerId, execId), signal);
      return {};
    },
    async GetExec({ containerId, execId }) {
      const exec = knownExec('GetExec', containerId, execId);
      return {
        status: exec.exit === undefined ? 'running' : 'exited',
        pid: exec.start.pid,
        ...(exec.exit === undefined ? {} : { exit: exitStatus(exec.exit) }),
      };
    },
    AttachProcess: (inputs, { signal }) => attachProcess(spawner, inputs, signal),
    async ResizeTerminal({ containerId, execId, rows, columns }) {
      const process =
        execId === ''
          ? known('ResizeTerminal', containerId).main
          : knownExec('ResizeTerminal', containerId, execId);
      process.resize(rows, columns);
      return {};
    },
    async DescribeContainer({ containerId }) {
      checkId('DescribeContainer', 'container', containerId);
      const { main } = spawner.running(containerId, 'DescribeContainer');
      return describeProcess(main.start.pid, main.attempt.seccomp_allowed_syscalls);
    },
    async GetSpawnerInfo() {
      const { kernel, namespaces, missing } = reportKernel();
      return { shimVersion: version, kernel, namespaces: [...namespaces], missing: [...missing] };
    },
  };
}

import { on } from 'node:events';
import type { Handlers } from '@gantry/bus';
import { GantryError, type node, type Init } from '@gantry/protocol';
import { ScriptedContainer, type Output } from './scripted-container.js';

type AgentHandlers = Handlers<typeof node.NodeAgent>;

const gone = (operation: string, name: string): GantryError =>
  new GantryError({ code: 'not_found', operation, object: name, message: `there is no container ${name}` });

/** A node agent without a kernel: enough to prove what the api and the command line promise. */
export class ScriptedAgent {
  readonly containers = new Map<string, ScriptedContainer>();
  readonly images = new Set(['demo:1']);
  readonly volumes = new Map<string, string>();
  readonly execs = new Map<string, { container: ScriptedContainer; process: ScriptedContainer }>();
  /** Streams that are open, to see them cancelled. */
  openStreams = 0;
  #count = 0;

  find(operation: string, name: string): ScriptedContainer {
    for (const one of this.containers.values())
      if (one.name === name || (name.length >= 4 && one.id.startsWith(name))) return one;
    throw gone(operation, name);
  }

  #newId(): string {
    this.#count += 1;
    return this.#count.toString(16).padStart(8, '0').repeat(8);
  }

  handlers(): AgentHandlers {
    const done = (act: (container: ScriptedContainer) => void, operation: string) => {
      return ({ container }: { container: string }): Promise<object> => {
        act(this.find(operation, container));
        return Promise.resolve({});
      };
    };
    const some: Partial<AgentHandlers> = {
      CreateContainer: (request) => Promise.resolve(this.#create(request)),
      StartContainer: done((one) => one.start(), 'StartContainer'),
      StopContainer: done((one) => one.signal('SIGTERM'), 'StopContainer'),
      RestartContainer: done((one) => one.start(), 'RestartContainer'),
      KillContainer: ({ container, signal }) => {
        const one = this.find('KillContainer', container);
        if (one.state !== 'running')
          throw new GantryError({
            code: 'failed_precondition',
            operation: 'KillContainer',
            object: one.name,
            message: `container ${one.name} is not running`,
          });
        one.signal(signal);
        return Promise.resolve({});
      },
      PauseContainer: done((one) => (one.state = 'paused'), 'PauseContainer'),
      UnpauseContainer: done((one) => (one.state = 'running'), 'UnpauseContainer'),
      RemoveContainer: ({ container, force }) => {
        const one = this.find('RemoveContainer', container);
        if (one.state === 'running' && !force)
          throw new GantryError({
            code: 'failed_precondition',
            operation: 'RemoveContainer',
            object: one.name,
            message: `container ${one.name} is running: stop it first, or force its removal`,
          });
        this.#remove(one);
        return Promise.resolve({});
      },
      RenameContainer: ({ container, name }) => {
        this.find('RenameContainer', container).name = name;
        return Promise.resolve({});
      },
      ListContainers: ({ all, pageToken }) => Promise.resolve(this.#list(all, pageToken)),
      InspectContainer: ({ container }) =>
        Promise.resolve({ json: Buffer.from(JSON.stringify(this.#inspect(container))) }),
      WaitContainer: (request, { signal }) => this.#wait(request, signal),
      ReadLogs: (request, { signal }) => this.#logs(request, signal),
      AttachContainer: (inputs, { signal }) => this.#attach(inputs, signal),
      CreateExec: ({ container, command }) => {
        const owner = this.find('CreateExec', container);
        const process = new ScriptedContainer(this.#newId(), 'exec', { command });
        this.execs.set(process.id, { container: owner, process });
        return Promise.resolve({ execId: process.id });
      },
      StartExec: (inputs, { signal }) => this.#attach(inputs, signal),
      InspectExec: ({ execId }) =>
        Promise.resolve({ containerId: this.execs.get(execId)?.container.id ?? '' }),
      ResizeTerminal: () => Promise.resolve({}),
      ListContainerProcesses: () =>
        Promise.resolve({ titles: ['PID', 'CMD'], rows: [{ cells: ['1', 'sleep'] }] }),
      ExplainContainer: () =>
        Promise.resolve({ sections: [{ title: 'Namespaces', lines: ['pid  4026531836  host 4026531835'] }] }),
      WatchStats: ({ once }, { signal }) => this.#stats(once, signal),
      WatchEvents: (_request, { signal }) => this.#events(signal),
      CreateVolume: ({ name, labels }) => {
        const made = name === '' ? 'a1b2' : name;
        this.volumes.set(made, JSON.stringify(labels));
        return Promise.resolve({ volume: { name: made, labels } });
      },
      ListVolumes: () =>
        Promise.resolve({
          volumes: [...this.volumes.keys()].map((name) => ({ name, mountpoint: `/v/${name}` })),
        }),
      RemoveVolume: ({ name }) => {
        if (!this.volumes.delete(name))
          throw new GantryError({
            code: 'not_found',
            operation: 'RemoveVolume',
            object: name,
            message: `there is no volume ${name}`,
          });
        return Promise.resolve({});
      },
      GetDiskUsage: () => Promise.resolve({ containerCount: this.containers.size, logBytes: 100 }),
      PruneContainers: () => Promise.resolve({ deleted: [], reclaimedBytes: 0 }),
      PruneVolumes: () => Promise.resolve({ deleted: [], reclaimedBytes: 0 }),
      GetNodeInfo: () =>
        Promise.resolve({
          nodeId: 'node1',
          hostname: 'here',
          cpus: 2,
          containersRunning: this.containers.size,
        }),
      StopAllContainers: () => Promise.resolve({ stoppedCount: this.containers.size }),
      UpdateContainer: () => Promise.resolve({ warnings: ['a warning'] }),
    };
    return some as AgentHandlers;
  }

  #create({ name, spec }: node.CreateContainerRequest): Init<node.CreateContainerResponse> {
    const image = spec?.image ?? '';
    if (!this.images.has(image))
      throw new GantryError({
        code: 'not_found',
        operation: 'GetImage',
        object: image,
        message: `image ${image} is not here`,
      });
    if ([...this.containers.values()].some((one) => one.name === name))
      throw new GantryError({
        code: 'already_exists',
        operation: 'CreateContainer',
        object: name,
        message: `name ${name} is taken`,
      });
    const id = this.#newId();
    const made = new ScriptedContainer(id, name === '' ? `made_up_${this.#count}` : name, spec ?? { image });
    this.containers.set(id, made);
    if (spec?.autoRemove === true) made.once('exit', () => setTimeout(() => this.#remove(made), 20));
    return { id, name: made.name };
  }

  #remove(one: ScriptedContainer): void {
    one.end(137);
    this.containers.delete(one.id);
    one.removed = true;
    one.emit('removed');
  }

  /** Two a page, so that pages are walked. */
  #list(all: boolean, pageToken: string): Init<node.ListContainersResponse> {
    const shown = [...this.containers.values()].filter((one) => all || one.state === 'running');
    const from = pageToken === '' ? 0 : Number(pageToken);
    return {
      containers: shown.slice(from, from + 2).map((one) => ({
        id: one.id,
        name: one.name,
        image: one.spec.image ?? '',
        command: (one.spec.command ?? []).join(' '),
        createdUnixMs: one.created,
        state: one.state,
        status: one.state === 'running' ? 'Up 1 second' : one.state,
        ports: one.spec.ports ?? [],
        labels: one.spec.labels ?? {},
      })),
      nextPageToken: from + 2 < shown.length ? String(from + 2) : '',
    };
  }

  #inspect(name: string): unknown {
    const one = this.find('InspectContainer', name);
    return {
      Id: one.id,
      Name: `/${one.name}`,
      State: {
        Running: one.state === 'running',
        Paused: one.state === 'paused',
        ExitCode: one.exitCode,
        Pid: 42,
      },
      Config: { Tty: one.spec.terminal === true, OpenStdin: one.spec.openStdin === true },
      NetworkSettings: {
        Ports: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }] },
        Networks: { bridge: { IPAddress: '10.88.0.2' } },
      },
    };
  }

  async *#wait(
    { container, condition }: node.WaitContainerRequest,
    signal: AbortSignal,
  ): AsyncGenerator<Init<node.WaitContainerResponse>> {
    const one = this.find('WaitContainer', container);
    yield { registered: true };
    const exitCode = await one.whenExited(signal);
    if (condition === 'removed' && !one.removed)
      await new Promise<void>((resolve) => one.once('removed', () => resolve()));
    yield { exitCode };
  }

  async *#logs(
    { container, follow, tail }: node.ReadLogsRequest,
    signal: AbortSignal,
  ): AsyncGenerator<Init<node.ReadLogsResponse>> {
    const one = this.find('ReadLogs', container);
    this.openStreams += 1;
    try {
      // Listens before it looks, so that nothing falls between.
      const later = follow && one.state !== 'exited' ? outputsOf(one, signal) : undefined;
      for (const entry of one.outputs.slice(-(tail ?? one.outputs.length))) yield { entries: [entry] };
      if (later !== undefined) for await (const entry of later) yield { entries: [entry] };
    } finally {
      this.openStreams -= 1;
    }
  }

  async *#attach(
    inputs: AsyncIterable<node.AttachInput>,
    signal: AbortSignal,
  ): AsyncGenerator<Init<node.AttachOutput>> {
    const reader = inputs[Symbol.asyncIterator]();
    const { value } = (await reader.next()) as { value: node.AttachInput };
    const open = value.open;
    const isExec = open?.execId !== undefined && open.execId !== '';
    const one = isExec
      ? this.#startableExec(open.execId)
      : this.find('AttachContainer', open?.container ?? '');
    const outputs = outputsOf(one, signal);
    if (isExec) one.start();
    this.openStreams += 1;
    // The end of the stream is seen on the other way.
    this.#takeInput(one, reader).catch(() => undefined);
    if (open !== undefined && open.rows > 0) one.sizes.push(`${open.rows}x${open.columns}`);
    try {
      yield { attached: true };
      for await (const { stream, data } of outputs)
        yield stream === 'stdout' ? { stdout: data } : { stderr: data };
      yield { exitCode: one.exitCode };
    } finally {
      this.openStreams -= 1;
    }
  }

  #startableExec(execId: string): ScriptedContainer {
    const found = this.execs.get(execId)?.process;
    if (found === undefined) throw gone('StartExec', execId);
    return found;
  }

  async #takeInput(one: ScriptedContainer, reader: AsyncIterator<node.AttachInput>): Promise<void> {
    for (let next = await reader.next(); next.done !== true; next = await reader.next()) {
      const { stdin, stdinEof, resize } = next.value;
      if (stdin !== undefined) {
        one.received.push(Buffer.from(stdin));
        one.emit('stdin', Buffer.from(stdin));
      }
      if (stdinEof === true) one.emit('eof');
      if (resize !== undefined) one.sizes.push(`${resize.rows}x${resize.columns}`);
    }
  }

  async *#stats(once: boolean, signal: AbortSignal): AsyncGenerator<Init<node.WatchStatsResponse>> {
    do {
      yield {
        stats: [...this.containers.values()].map(({ id, name }) => ({
          id,
          name,
          cpuPercent: 12.5,
          memoryLimitBytes: 1024,
          usage: { memoryWorkingSetBytes: 512, pidsCurrent: 1 },
        })),
      };
      await new Promise((resolve) => setTimeout(resolve, 20));
    } while (!once && !signal.aborted);
  }

  async *#events(signal: AbortSignal): AsyncGenerator<Init<node.WatchEventsResponse>> {
    this.openStreams += 1;
    try {
      yield {
        event: {
          type: 'container',
          action: 'start',
          id: 'c1',
          timeUnixNanos: 1_700_000_000_000_000_000,
          attributes: [{ key: 'name', value: 'web' }],
        },
      };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    } finally {
      this.openStreams -= 1;
    }
  }
}

/** Output from now on, until the exit; listens at once. */
function outputsOf(one: ScriptedContainer, signal: AbortSignal): AsyncIterable<Output> {
  const events = on(one, 'output', { signal, close: ['exit'] });
  return (async function* () {
    try {
      for await (const [output] of events) yield output as Output;
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  })();
}

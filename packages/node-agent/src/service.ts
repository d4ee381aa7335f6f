import type { Handlers } from '@gantry/bus';
import { parseSignal } from '@gantry/oci';
import { cgroup, spawn, type node } from '@gantry/protocol';
import type { Agent } from './agent.js';
import { attachContainer, openingOf } from './attach.js';
import { containerLogs } from './container-logs.js';
import type { Container } from './container.js';
import { logBytes } from './disk.js';
import { explainContainer } from './explain.js';
import { inspectContainer } from './inspect.js';
import { isActive } from './lifecycle.js';
import { filterContainers, summarize } from './list-containers.js';
import { nodeInfo } from './node-info.js';
import { pageOf } from './pages.js';
import { listProcesses, runPs } from './processes.js';
import { refusal } from './refuse.js';
import { logPath } from './start-attempt.js';
import { watchStats } from './stats.js';
import { checkContainerName, parsePolicy } from './validate-spec.js';
import type { WaitCondition } from './waiters.js';
import { eventFilter, watchEvents } from './watch-events.js';
import { writableBytes } from './writable-bytes.js';
import { mergeResources } from './merge-resources.js';

const CONDITIONS: ReadonlySet<string> = new Set<WaitCondition>(['not-running', 'next-exit', 'removed']);

function readSignal(text: string, operation: string): number | undefined {
  if (text === '') return undefined;
  const signal = parseSignal(text);
  if (signal === undefined)
    throw refusal('invalid_argument', operation, text, `${JSON.stringify(text)} is not a signal`);
  return signal;
}

function readCondition(text: string): WaitCondition {
  const condition = text === '' ? 'not-running' : text;
  if (!CONDITIONS.has(condition))
    throw refusal(
      'invalid_argument',
      'WaitContainer',
      text,
      `wait condition ${JSON.stringify(text)} is not not-running, next-exit or removed`,
    );
  return condition as WaitCondition;
}

/** The methods of the service; each finds its container and hands over. */
export function createHandlers(agent: Agent): Handlers<typeof node.NodeAgent> {
  const { context, registry, volumes, execs } = agent;
  const { bus } = context;
  const find = (reference: string, operation: string): Container => registry.find(reference, operation);
  return {
    async CreateContainer(request) {
      const { container, warnings } = await agent.create(request);
      return { id: container.id, warnings, name: container.record.name };
    },
    async StartContainer({ container }) {
      return { pid: await find(container, 'StartContainer').start() };
    },
    async StopContainer({ container, timeoutSeconds, signal }) {
      await find(container, 'StopContainer').stop({
        timeoutSeconds,
        signal: readSignal(signal, 'StopContainer'),
      });
      return {};
    },
    async RestartContainer({ container, timeoutSeconds, signal }, { signal: gone }) {
      const found = find(container, 'RestartContainer');
      const wish = { timeoutSeconds, signal: readSignal(signal, 'RestartContainer'), thenStart: true };
      if (isActive(found.life)) await found.stop(wish);
      if (gone.aborted) return {};
      await found.start();
      found.emit('restart');
      return {};
    },
    async KillContainer({ container, signal }) {
      await find(container, 'KillContainer').kill(readSignal(signal, 'KillContainer') ?? 9);
      return {};
    },
    async PauseContainer({ container }) {
      await find(container, 'PauseContainer').pause();
      return {};
    },
    async UnpauseContainer({ container }) {
      await find(container, 'UnpauseContainer').unpause();
      return {};
    },
    async RemoveContainer({ container, force, volumes: withVolumes }) {
      await find(container, 'RemoveContainer').remove({ force, volumes: withVolumes });
      return {};
    },
    async RenameContainer({ container, name }) {
      const found = find(container, 'RenameContainer');
      checkContainerName(name);
      await agent.rename(found, name);
      return {};
    },
    async UpdateContainer({ container, resources, restartPolicy }) {
      const found = find(container, 'UpdateContainer');
      const policy = restartPolicy === undefined ? found.record.policy : parsePolicy(restartPolicy);
      if (found.record.spec.autoRemove && policy.name !== 'no')
        throw refusal(
          'invalid_argument',
          'UpdateContainer',
          found.id,
          'a container that is removed when it exits cannot have a restart policy',
        );
      await found.actor.run(async () => {
        const merged = mergeResources(found.record.spec.resources, resources);
        if (resources !== undefined && isActive(found.life))
          await bus.call(cgroup.CgroupSupervisor.methods.UpdateCgroup, {
            containerId: found.id,
            resources: merged,
          });
        const spec = merged === undefined ? found.record.spec : { ...found.record.spec, resources: merged };
        await found.change({ policy, spec });
      });
      found.emit('update');
      return { warnings: [] };
    },
    async *WaitContainer({ container, condition }, { signal }) {
      const found = find(container, 'WaitContainer');
      const end = found.wait(readCondition(condition), signal);
      end.catch(() => undefined);
      yield { registered: true };
      const { exitCode, error } = await end;
      yield { exitCode, error };
    },
    async ListContainers({ all, filters, pageSize, pageToken, size }) {
      const passing = filterContainers(registry.all(), filters, all);
      const { items, nextPageToken } = pageOf(passing, ({ id }) => id, { pageSize, pageToken });
      const now = Date.now();
      const containers = await Promise.all(
        items.map(async (container) =>
          summarize(container, now, size ? await writableBytes(context, container) : 0),
        ),
      );
      return { containers, nextPageToken };
    },
    InspectContainer({ container }) {
      const document = inspectContainer(context, find(container, 'InspectContainer'));
      return Promise.resolve({ json: Buffer.from(JSON.stringify(document)) });
    },
    async *ReadLogs({ container, ...wish }, { signal }) {
      const batches = containerLogs(context, find(container, 'ReadLogs'), wish, signal);
      for await (const entries of batches) yield { entries };
    },
    async ListContainerProcesses({ container, psArguments }) {
      const found = find(container, 'ListContainerProcesses');
      if (!found.running)
        throw refusal(
          'failed_precondition',
          'ListContainerProcesses',
          found.id,
          `container ${found.record.name} is not running`,
        );
      const { pids } = await bus.call(cgroup.CgroupSupervisor.methods.ListProcesses, {
        containerId: found.id,
      });
      const table = psArguments.length === 0 ? listProcesses(pids) : await runPs(pids, psArguments);
      return table;
    },
    WatchStats({ containers, once }, { signal }) {
      const chosen = containers.map((reference) => find(reference, 'WatchStats'));
      const select = (): readonly Container[] => (chosen.length > 0 ? chosen : registry.all());
      return watchStats(context, select, once, signal);
    },
    async *WatchEvents({ sinceUnixNanos, untilUnixNanos, filters }, { signal }) {
      const wanted = eventFilter(filters);
      for await (const event of watchEvents(context.events, {
        sinceUnixNanos,
        untilUnixNanos,
        wanted,
        signal,
      }))
        yield { event };
    },
    async ExplainContainer({ container }) {
      return { sections: await explainContainer(context, find(container, 'ExplainContainer')) };
    },
    async *AttachContainer(inputs, { signal }) {
      const opening = await openingOf(inputs, 'AttachContainer');
      yield* attachContainer(context, find(opening.open.container, 'AttachContainer'), opening, signal);
    },
    CreateExec({ container, ...wish }) {
      return Promise.resolve({ execId: execs.create(find(container, 'CreateExec'), wish) });
    },
    async *StartExec(inputs, { signal }) {
      yield* execs.start(await openingOf(inputs, 'StartExec'), signal);
    },
    InspectExec({ execId }) {
      return execs.inspect(execId);
    },
    async ResizeTerminal({ container, execId, rows, columns }) {
      const found = execId === '' ? find(container, 'ResizeTerminal') : execs.containerOf(execId);
      await bus.call(spawn.Spawner.methods.ResizeTerminal, { containerId: found.id, execId, rows, columns });
      return {};
    },
    async CreateVolume(request) {
      return { volume: await volumes.describe(await volumes.create(request), false) };
    },
    async ListVolumes({ pageSize, pageToken, size }) {
      const { items, nextPageToken } = pageOf(context.volumes.all(), ({ name }) => name, {
        pageSize,
        pageToken,
      });
      return {
        volumes: await Promise.all(items.map((volume) => volumes.describe(volume, size))),
        nextPageToken,
      };
    },
    async RemoveVolume({ name, force }) {
      await volumes.remove(name, force);
      return {};
    },
    async GetDiskUsage() {
      const known = await Promise.all(context.volumes.all().map((volume) => volumes.describe(volume, true)));
      const logs = await Promise.all(registry.all().map(({ id }) => logBytes(logPath(context, id))));
      const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
      const idle = known.filter(({ containerIds }) => containerIds?.length === 0);
      return {
        containerCount: registry.size,
        runningCount: registry.all().filter(({ running }) => running).length,
        logBytes: sum(logs),
        volumeCount: known.length,
        activeVolumeCount: known.length - idle.length,
        volumeBytes: sum(known.map(({ sizeBytes }) => sizeBytes ?? 0)),
        volumeReclaimableBytes: sum(idle.map(({ sizeBytes }) => sizeBytes ?? 0)),
      };
    },
    async PruneContainers() {
      const deleted: string[] = [];
      let reclaimedBytes = 0;
      for (const container of registry.all()) {
        if (isActive(container.life) || container.life.state === 'restarting') continue;
        const bytes =
          (await writableBytes(context, container)) + (await logBytes(logPath(context, container.id)));
        // It may have been started while it was measured.
        if (isActive(container.life)) continue;
        await container.remove({ force: false, volumes: false });
        deleted.push(container.id);
        reclaimedBytes += bytes;
      }
      return { deleted, reclaimedBytes };
    },
    PruneVolumes({ all }) {
      return volumes.prune(all);
    },
    GetNodeInfo() {
      return Promise.resolve(nodeInfo(context, registry));
    },
    async StopAllContainers({ timeoutSeconds }) {
      return { stoppedCount: await agent.stopAll(timeoutSeconds) };
    },
  };
}

import type { Handlers } from '@gantry/bus';
import { GantryError, type cgroup } from '@gantry/protocol';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CgroupKeeper } from './cgroup-keeper.js';
import type { SupervisorMetrics } from './metrics.js';
import { deadlineIn, type Deadline } from './waiting.js';

/** No operation here should take longer, whatever the caller grants. */
const longestWaitMs = 10_000;
const defaultPageSize = 200;
/** A usage takes some 300 bytes, and more with many block devices; a message takes 512 KiB. */
const largestPageSize = 500;
/** Usages read before others have a turn on the event loop. */
const usagesPerTurn = 50;

export function createHandlers(
  keeper: CgroupKeeper,
  metrics: SupervisorMetrics,
): Handlers<typeof cgroup.CgroupSupervisor> {
  return {
    async CreateCgroup({ containerId, resources, name, image, devicesJson }) {
      return {
        cgroup: await keeper.create({ containerId, resources: resources ?? {}, name, image, devicesJson }),
      };
    },
    async UpdateCgroup(request) {
      await keeper.update(request);
      return {};
    },
    async DestroyCgroup({ containerId }, context) {
      metrics.leftoverProcesses.inc(await keeper.destroy(containerId, deadlineOf(context)));
      return {};
    },
    async FreezeCgroup({ containerId }, context) {
      await keeper.setFrozen(containerId, true, deadlineOf(context));
      return {};
    },
    async ThawCgroup({ containerId }, context) {
      await keeper.setFrozen(containerId, false, deadlineOf(context));
      return {};
    },
    async KillCgroup({ containerId }, context) {
      return { killedCount: await keeper.kill(containerId, deadlineOf(context)) };
    },
    ListProcesses: ({ containerId }) => answer(() => ({ pids: [...keeper.processes(containerId)] })),
    GetUsage: ({ containerId }) => answer(() => ({ usage: keeper.usage(containerId) })),
    async ListUsage(request) {
      const { ids, next } = page('ListUsage', keeper.list(), request);
      const usages: cgroup.Usage[] = [];
      for (const [index, id] of ids.entries()) {
        if (index > 0 && index % usagesPerTurn === 0) await nextTurn();
        const usage = keeper.usageIfPresent(id);
        if (usage !== undefined) usages.push(usage);
      }
      return { usages, nextPageToken: next };
    },
    ListCgroups: (request) =>
      answer(() => {
        const { ids, next } = page('ListCgroups', keeper.list(), request);
        return { containerIds: ids, nextPageToken: next };
      }),
    GetCgroupInfo: () => answer(() => keeper.info()),
    TearDown: () =>
      answer(() => {
        keeper.tearDown();
        return {};
      }),
  };
}

/** A thrown error becomes a rejection. */
async function answer<T>(work: () => T): Promise<T> {
  await Promise.resolve();
  return work();
}

/** Leaves the answer time to travel before the caller gives up. */
function deadlineOf(context: { readonly deadlineMs: number; readonly signal: AbortSignal }): Deadline {
  return deadlineIn(Math.min(longestWaitMs, context.deadlineMs * 0.9), context.signal);
}

/** The token is the last id of the page before: pages stay true while containers come and go. */
function page(
  operation: string,
  sorted: readonly string[],
  { pageSize, pageToken }: { readonly pageSize: number; readonly pageToken: string },
): { readonly ids: readonly string[]; readonly next: string } {
  if (pageToken !== '' && !/^[0-9a-f]{64}$/.test(pageToken))
    throw new GantryError({
      code: 'invalid_argument',
      operation,
      message: 'page_token is not one that was handed out',
    });
  const size = Math.min(pageSize === 0 ? defaultPageSize : pageSize, largestPageSize);
  const rest = sorted.filter((id) => id > pageToken);
  const ids = rest.slice(0, size);
  return { ids, next: rest.length > size ? (ids.at(-1) ?? '') : '' };
}

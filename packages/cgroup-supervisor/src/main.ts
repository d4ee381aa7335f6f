import { readFileSync } from 'node:fs';
import { startService, type RunningService, type ServiceEnvironment } from '@gantry/bus';
import { GantryError, cgroup } from '@gantry/protocol';
import { readKernelFileIfPresent, reasonOf } from './cgroup-files.js';
import { CgroupKeeper } from './cgroup-keeper.js';
import type { CgroupSupervisorConfig } from './config.js';
import { renderContainers, type ContainerSample } from './container-metrics.js';
import { detectHierarchies, type Hierarchies } from './hierarchies.js';
import { pathInHierarchy } from './layout.js';
import { machineLines } from './machine-metrics.js';
import { createSupervisorMetrics, type SupervisorMetrics } from './metrics.js';
import { readInterfaces } from './network-figures.js';
import { CgroupRecords } from './records.js';
import { createHandlers } from './service.js';
import { CgroupTree } from './tree.js';

/** Runs the cgroup supervisor until its `stop()`; containers and their cgroups stay. */
export function startCgroupSupervisor(
  environment: ServiceEnvironment,
  config: CgroupSupervisorConfig,
): Promise<RunningService> {
  return startService({
    name: cgroup.CgroupSupervisor.name,
    environment,
    descriptor: cgroup.CgroupSupervisor,
    start: async ({ bus, logger, registry }) => {
      const tree = new CgroupTree(findHierarchies(config.mount_root), { root: config.cgroup_root });
      // Declared before the keeper, which reports kills through it, and reading from the keeper only when scraped.
      const metrics: SupervisorMetrics = createSupervisorMetrics(registry, {
        cgroups: () => keeper.list().length,
        watched: () => keeper.watchedCount,
      });
      const keeper = new CgroupKeeper({
        tree,
        records: new CgroupRecords(config.run_dir),
        onOom: (containerId, oomKillCount, grownBy) => {
          metrics.oomKills.inc(grownBy);
          logger.warn({ container: containerId, count: oomKillCount }, 'container ran out of memory');
          bus.publishEvent('cgroup-oom', cgroup.OomEventCodec, {
            containerId,
            oomKillCount,
            timeUnixNanos: Date.now() * 1_000_000,
          });
        },
        onFailure: (error) => logger.error({ reason: reasonOf(error) }, 'watching for OOM kills failed'),
      });
      keeper.start();
      const { version } = tree.hierarchies;
      logger.info({ version, containers: keeper.list().length }, 'cgroups taken up');
      return {
        handlers: createHandlers(keeper, metrics),
        stop: async () => keeper.stop(),
        renderMetrics: async () =>
          renderContainers(keeper.list(), (id) => sampleOf(tree, keeper, id), await machineLines()),
      };
    },
  });
}

/** The hierarchies below `mountRoot`, or a refusal that says what is missing. */
export function findHierarchies(mountRoot: string): Hierarchies {
  const found = detectHierarchies(readFileSync('/proc/self/mountinfo', 'utf8'), mountRoot, (mountPoint) =>
    (readKernelFileIfPresent(`${mountPoint}/cgroup.controllers`) ?? '').split(/\s+/).filter(Boolean),
  );
  const refuse = (message: string): never => {
    throw new GantryError({ code: 'failed_precondition', operation: 'start', object: mountRoot, message });
  };
  if (found === undefined) return refuse(`no cgroup hierarchy is mounted at or below ${mountRoot}`);
  const readOnly = found.all.find((hierarchy) => hierarchy.readOnly);
  if (readOnly !== undefined)
    return refuse(`the cgroup hierarchy at ${readOnly.mountPoint} is mounted read-only`);
  return found;
}

function sampleOf(tree: CgroupTree, keeper: CgroupKeeper, id: string): ContainerSample | undefined {
  const usage = keeper.usageIfPresent(id);
  if (usage === undefined) return undefined;
  const { hierarchy, directory } = tree.primaryPlace(id);
  const record = keeper.record(id);
  const processes = keeper.processesIfPresent(id);
  return {
    path: pathInHierarchy(directory, hierarchy),
    name: record?.name ?? '',
    image: record?.image ?? '',
    createdAtMs: record?.createdAtMs,
    processCount: processes.length,
    usage,
    // All of a container's processes share its network; the first is the least likely to have left.
    interfaces: processes[0] === undefined ? [] : readInterfaces(processes[0]),
  };
}

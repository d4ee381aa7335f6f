import { Counter, Gauge, type Registry } from 'prom-client';

/** What the supervisor counts of its own work; the containers' figures are rendered in container-metrics.ts. */
export interface SupervisorMetrics {
  readonly oomKills: Counter;
  readonly leftoverProcesses: Counter;
}

export function createSupervisorMetrics(
  registry: Registry,
  now: { readonly cgroups: () => number; readonly watched: () => number },
): SupervisorMetrics {
  const registers = [registry];
  new Gauge({
    name: 'gantry_cgroup_supervisor_cgroups',
    help: 'Containers that have a cgroup.',
    registers,
    collect() {
      this.set(now.cgroups());
    },
  });
  new Gauge({
    name: 'gantry_cgroup_supervisor_oom_watches',
    help: 'Containers whose OOM kills are watched for; fewer than the cgroups means that some would go unnoticed.',
    registers,
    collect() {
      this.set(now.watched());
    },
  });
  return {
    oomKills: new Counter({
      name: 'gantry_cgroup_supervisor_oom_kills_total',
      help: 'Processes of containers killed by the kernel for want of memory, as far as this process saw.',
      registers,
    }),
    leftoverProcesses: new Counter({
      name: 'gantry_cgroup_supervisor_leftover_processes_total',
      help: 'Processes that were still alive when their container was destroyed.',
      registers,
    }),
  };
}

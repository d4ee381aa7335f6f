import { choices, dashboard } from './dashboard.mjs';
import { row, stat, stateTimeline, table, timeseries, units } from './panels.mjs';

const chosen = 'stack=~"$stack",service=~"$service"';

/** Figures of containers that are tasks of the chosen services; the service's name takes the place of Gantry's own. */
const ofTasks = (expression) =>
  `${expression} * on (name) group_left (stack, service) gantry:task_info{${chosen}}`;
const rateOf = (series) => ofTasks(`rate(${series}[$__rate_interval])`);

export default dashboard({
  name: 'service',
  title: 'Service',
  description: 'One service or all of a stack: are its tasks there, where, and what do they use.',
  variables: [choices.stack, choices.service],
  panels: [
    stat({
      title: 'Wanted',
      description: 'Tasks that the chosen services should have.',
      unit: units.count,
      queries: [[`sum(gantry:service_tasks_wanted{${chosen}})`, 'wanted']],
    }),
    stat({
      title: 'Running',
      description: 'Tasks that run.',
      unit: units.count,
      queries: [[`sum(gantry:service_tasks_running{${chosen}})`, 'running']],
    }),
    stat({
      title: 'Missing',
      description: 'Wanted less running.',
      unit: units.count,
      queries: [
        [`sum(gantry:service_tasks_wanted{${chosen}} - gantry:service_tasks_running{${chosen}})`, 'missing'],
      ],
      bad: 1,
    }),
    stat({
      title: 'Nodes',
      description: 'Nodes that run at least one task.',
      unit: units.count,
      queries: [[`count(count by (hostname) (${ofTasks('container_last_seen{name!=""}')}))`, 'nodes']],
    }),
    stat({
      title: 'CPUs',
      description: 'CPU time that all tasks together use in a second.',
      unit: units.cpus,
      queries: [[`sum(${rateOf('container_cpu_usage_seconds_total{name!=""}')})`, 'CPUs']],
    }),
    stat({
      title: 'Memory',
      description: 'Working sets of all tasks together.',
      unit: units.bytes,
      queries: [[`sum(${ofTasks('container_memory_working_set_bytes{name!=""}')})`, 'memory']],
    }),
    stateTimeline({
      title: 'Complete',
      description: 'Whether a service had all the tasks it wanted.',
      unit: units.count,
      queries: [
        [
          `gantry:service_tasks_running{${chosen}} >= bool gantry:service_tasks_wanted{${chosen}}`,
          '{{service}}',
        ],
      ],
      states: { 0: ['tasks missing', 'orange'], 1: ['complete', 'green'] },
    }),
    timeseries({
      title: 'Tasks',
      description: 'Wanted and running tasks of each service.',
      unit: units.count,
      width: 12,
      queries: [
        [`gantry:service_tasks_wanted{${chosen}}`, '{{service}} wanted'],
        [`gantry:service_tasks_running{${chosen}}`, '{{service}} running'],
      ],
    }),
    timeseries({
      title: 'Tasks by node',
      description: 'Where the tasks run.',
      unit: units.count,
      stack: true,
      queries: [[`count by (hostname) (${ofTasks('container_last_seen{name!=""}')})`, '{{hostname}}']],
    }),
    timeseries({
      title: 'CPU by task',
      description: 'CPU time each task uses in a second: 1 is one whole CPU.',
      unit: units.cpus,
      queries: [[`sum by (name) (${rateOf('container_cpu_usage_seconds_total{name!=""}')})`, '{{name}}']],
    }),
    timeseries({
      title: 'Memory by task',
      description: 'Working set of each task: what it uses less what the kernel could take back at once.',
      unit: units.bytes,
      queries: [[`sum by (name) (${ofTasks('container_memory_working_set_bytes{name!=""}')})`, '{{name}}']],
    }),
    timeseries({
      title: 'Traffic in by task',
      description: 'Bytes each task receives.',
      unit: units.bytesPerSecond,
      queries: [[`sum by (name) (${rateOf('container_network_receive_bytes_total{name!=""}')})`, '{{name}}']],
    }),
    timeseries({
      title: 'Traffic out by task',
      description: 'Bytes each task sends.',
      unit: units.bytesPerSecond,
      queries: [
        [`sum by (name) (${rateOf('container_network_transmit_bytes_total{name!=""}')})`, '{{name}}'],
      ],
    }),
    timeseries({
      title: 'Periods without CPU',
      description: 'Share of the periods in which a task with a CPU limit had to wait.',
      unit: units.share,
      max: 1,
      queries: [
        [
          `sum by (name) (${rateOf('container_cpu_cfs_throttled_periods_total{name!=""}')})
           / (sum by (name) (${rateOf('container_cpu_cfs_periods_total{name!=""}')}) > 0) or vector(0)`,
          '{{name}}',
        ],
      ],
    }),
    row('Trouble'),
    timeseries({
      title: 'Restarts by task',
      description: 'Times its node started a task again.',
      unit: units.count,
      queries: [[`sum by (name) (${ofTasks('gantry_node_agent_container_restarts')})`, '{{name}}']],
    }),
    timeseries({
      title: 'Unhealthy tasks',
      description: 'Tasks whose health check fails now, by service.',
      unit: units.count,
      queries: [
        [
          `sum by (service) (${ofTasks('gantry_node_agent_container_unhealthy')}) or vector(0)`,
          '{{service}}',
        ],
      ],
    }),
    timeseries({
      title: 'Killed for want of memory',
      description: 'Processes of each task that the kernel killed at the memory limit.',
      unit: units.count,
      queries: [[`sum by (name) (${ofTasks('container_oom_events_total{name!=""}')})`, '{{name}}']],
    }),
    table({
      title: 'Tasks',
      description: 'Every task that has a container now.',
      unit: units.count,
      queries: [
        [
          `sum by (name, stack, service, hostname, image) (
             ${ofTasks('(time() - container_start_time_seconds{name!=""})')})`,
          'age',
        ],
      ],
      columnUnits: { age: units.seconds },
    }),
  ],
});

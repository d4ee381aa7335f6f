import { choices, dashboard } from './dashboard.mjs';
import { row, stat, table, timeseries, units } from './panels.mjs';

const chosen = 'name!="",hostname=~"$node",name=~"$container"';
const rateOf = (series, by = 'name') => `sum by (${by}) (rate(${series}{${chosen}}[$__rate_interval]))`;

export default dashboard({
  name: 'container',
  title: 'Container',
  description: 'What containers use and what they may use, whoever started them.',
  variables: [choices.node, choices.container],
  panels: [
    stat({
      title: 'Containers',
      description: 'Containers that have a cgroup: those that run.',
      unit: units.count,
      queries: [[`count(container_last_seen{${chosen}})`, 'containers']],
    }),
    stat({
      title: 'CPUs',
      description: 'CPU time that all of them use in a second.',
      unit: units.cpus,
      queries: [[`sum(rate(container_cpu_usage_seconds_total{${chosen}}[$__rate_interval]))`, 'CPUs']],
    }),
    stat({
      title: 'Memory',
      description: 'Working sets of all of them.',
      unit: units.bytes,
      queries: [[`sum(container_memory_working_set_bytes{${chosen}})`, 'memory']],
    }),
    stat({
      title: 'Killed for want of memory',
      description: 'Processes that the kernel killed in containers that are there now.',
      unit: units.count,
      queries: [[`sum(container_oom_events_total{${chosen}})`, 'killed']],
      bad: 1,
    }),
    stat({
      title: 'Unhealthy',
      description: 'Containers whose health check fails.',
      unit: units.count,
      queries: [
        [
          'sum(gantry_node_agent_container_unhealthy{hostname=~"$node",name=~"$container"}) or vector(0)',
          'unhealthy',
        ],
      ],
      bad: 1,
    }),
    stat({
      title: 'Restarts',
      description: 'Automatic restarts since the containers were last started by hand.',
      unit: units.count,
      queries: [
        [
          'sum(gantry_node_agent_container_restarts{hostname=~"$node",name=~"$container"}) or vector(0)',
          'restarts',
        ],
      ],
    }),
    row('CPU'),
    timeseries({
      title: 'CPU',
      description: 'CPU time used in a second: 1 is one whole CPU.',
      unit: units.cpus,
      queries: [[rateOf('container_cpu_usage_seconds_total'), '{{name}}']],
    }),
    timeseries({
      title: 'User and system',
      description: 'The same, divided into the program’s own time and the kernel’s for it.',
      unit: units.cpus,
      queries: [
        [rateOf('container_cpu_user_seconds_total'), '{{name}} user'],
        [rateOf('container_cpu_system_seconds_total'), '{{name}} system'],
      ],
    }),
    timeseries({
      title: 'Waiting for CPU quota',
      description: 'Time a container with a CPU limit was not let run, in a second, its threads summed.',
      unit: units.seconds,
      queries: [[rateOf('container_cpu_cfs_throttled_seconds_total'), '{{name}}']],
    }),
    row('Memory'),
    timeseries({
      title: 'Working set',
      description: 'What a container uses less what the kernel could take back at once.',
      unit: units.bytes,
      queries: [[`sum by (name) (container_memory_working_set_bytes{${chosen}})`, '{{name}}']],
    }),
    timeseries({
      title: 'Share of the limit',
      description: 'Working set by memory limit, of containers that have one. Near 1 the kernel kills.',
      unit: units.share,
      max: 1,
      queries: [
        [
          `sum by (name) (container_memory_working_set_bytes{${chosen}})
           / (sum by (name) (container_spec_memory_limit_bytes{${chosen}}) > 0) or vector(0)`,
          '{{name}}',
        ],
      ],
    }),
    timeseries({
      title: 'Kinds of memory',
      description: 'Anonymous memory, page cache and swap of the chosen containers.',
      unit: units.bytes,
      stack: true,
      queries: [
        [`sum(container_memory_rss{${chosen}})`, 'anonymous'],
        [`sum(container_memory_cache{${chosen}})`, 'page cache'],
        [`sum(container_memory_swap{${chosen}})`, 'swap'],
      ],
    }),
    row('Network and disk'),
    timeseries({
      title: 'Traffic in',
      description:
        'Bytes received, loopback aside. A container in the host’s network has no figures of its own.',
      unit: units.bytesPerSecond,
      queries: [[rateOf('container_network_receive_bytes_total'), '{{name}}']],
    }),
    timeseries({
      title: 'Traffic out',
      description: 'Bytes sent, loopback aside.',
      unit: units.bytesPerSecond,
      queries: [[rateOf('container_network_transmit_bytes_total'), '{{name}}']],
    }),
    timeseries({
      title: 'Packets lost',
      description: 'Packets dropped or damaged, both ways. Should be none.',
      unit: units.perSecond,
      queries: [
        [
          `${rateOf('container_network_receive_packets_dropped_total')}
           + ${rateOf('container_network_transmit_packets_dropped_total')}
           + ${rateOf('container_network_receive_errors_total')}
           + ${rateOf('container_network_transmit_errors_total')}`,
          '{{name}}',
        ],
      ],
    }),
    timeseries({
      title: 'Reading from disk',
      description: 'Bytes read from block devices; what the page cache has costs nothing.',
      unit: units.bytesPerSecond,
      width: 12,
      queries: [[`${rateOf('container_fs_reads_bytes_total')} or vector(0)`, '{{name}}']],
    }),
    timeseries({
      title: 'Writing to disk',
      description: 'Bytes written to block devices.',
      unit: units.bytesPerSecond,
      width: 12,
      queries: [[`${rateOf('container_fs_writes_bytes_total')} or vector(0)`, '{{name}}']],
    }),
    row('Processes'),
    timeseries({
      title: 'Processes and threads',
      description: 'Tasks in the kernel’s sense: every thread counts.',
      unit: units.count,
      width: 12,
      queries: [[`sum by (name) (container_threads{${chosen}})`, '{{name}}']],
    }),
    timeseries({
      title: 'Restarts',
      description: 'Automatic restarts of each container.',
      unit: units.count,
      width: 12,
      queries: [
        [
          'sum by (name) (gantry_node_agent_container_restarts{hostname=~"$node",name=~"$container"})',
          '{{name}}',
        ],
      ],
    }),
    table({
      title: 'Containers',
      description: 'Each container, how long it has been there, and what it uses.',
      unit: units.count,
      queries: [
        [`sum by (name, hostname, image) (time() - container_start_time_seconds{${chosen}})`, 'age'],
        [rateOf('container_cpu_usage_seconds_total', 'name, hostname, image'), 'CPUs'],
        [`sum by (name, hostname, image) (container_memory_working_set_bytes{${chosen}})`, 'memory'],
        [`sum by (name, hostname, image) (container_spec_memory_limit_bytes{${chosen}})`, 'memory limit'],
      ],
      columnUnits: {
        age: units.seconds,
        CPUs: units.cpus,
        memory: units.bytes,
        'memory limit': units.bytes,
      },
    }),
  ],
});

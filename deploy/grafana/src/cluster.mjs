import { choices, dashboard } from './dashboard.mjs';
import { row, stat, stateTimeline, table, timeseries, units } from './panels.mjs';

const onNode = 'hostname=~"$node"';

export default dashboard({
  name: 'cluster',
  title: 'Cluster',
  description: 'The cluster at a glance: nodes, leader, tasks, services, and what the nodes have left.',
  variables: [choices.node],
  panels: [
    stat({
      title: 'Nodes ready',
      description: 'Nodes whose lease holds. Should be all of them.',
      unit: units.count,
      queries: [['max(gantry_control_nodes{condition="ready"}) or vector(0)', 'ready']],
      bad: 1,
      good: 'high',
    }),
    stat({
      title: 'Nodes lost',
      description: 'Nodes whose lease ended and whose server is away; their tasks are placed elsewhere.',
      unit: units.count,
      queries: [['max(gantry_control_nodes{condition="lost"}) or vector(0)', 'lost']],
      bad: 1,
    }),
    stat({
      title: 'Leaders',
      description: 'Control nodes that lead: exactly one, but for the seconds of a change.',
      unit: units.count,
      queries: [['sum(gantry_control_leader) or vector(0)', 'leaders']],
      bad: 1,
      good: 'high',
    }),
    stat({
      title: 'Frozen',
      description: 'Whether control decides nothing because its store is not to be trusted.',
      unit: units.yesNo,
      queries: [['max(gantry_control_frozen) or vector(0)', 'frozen']],
      bad: 1,
    }),
    stat({
      title: 'Tasks that fit nowhere',
      description:
        'Tasks for which no node passes every filter; "gantry service ps" says which filters refuse.',
      unit: units.count,
      queries: [['max(gantry_control_unplaced_tasks) or vector(0)', 'unplaced']],
      bad: 1,
    }),
    stat({
      title: 'Alerts',
      description: 'Alerts of Gantry that fire now.',
      unit: units.count,
      queries: [['count(ALERTS{alertname=~"Gantry.+",alertstate="firing"}) or vector(0)', 'firing']],
      bad: 1,
    }),
    stateTimeline({
      title: 'Nodes',
      description: 'What control thinks of each node: 0 ready, 1 restarting, 2 lost, 3 not known.',
      unit: units.count,
      queries: [
        [
          `max by (hostname) (${['ready', 'restarting', 'lost', 'unknown']
            .map(
              (condition, value) =>
                `${value} * gantry_control_node_condition{condition="${condition}",${onNode}}`,
            )
            .join(' or ')})`,
          '{{hostname}}',
        ],
      ],
      states: {
        0: ['ready', 'green'],
        1: ['restarting', 'yellow'],
        2: ['lost', 'red'],
        3: ['unknown', 'purple'],
      },
    }),
    timeseries({
      title: 'Alerts',
      description: 'Alerts of Gantry that fired, by name. docs/alerts.md says what to do about each.',
      unit: units.count,
      width: 12,
      queries: [
        [
          'count by (alertname) (ALERTS{alertname=~"Gantry.+",alertstate="firing"}) or vector(0)',
          '{{alertname}}',
        ],
      ],
    }),
    row('Tasks and services'),
    timeseries({
      title: 'Tasks by state',
      description: 'All tasks that control keeps, by how far they are.',
      unit: units.count,
      stack: true,
      queries: [['max by (state) (gantry_control_tasks)', '{{state}}']],
    }),
    timeseries({
      title: 'Placements',
      description: 'Tasks that the scheduler placed or could not place.',
      unit: units.perSecond,
      queries: [
        [
          'sum by (result) (rate(gantry_control_placements_total[$__rate_interval])) or vector(0)',
          '{{result}}',
        ],
      ],
    }),
    timeseries({
      title: 'Tasks replaced',
      description: 'Tasks that others took the place of, by reason: a node lost, a failure, a roll-out.',
      unit: units.perSecond,
      queries: [
        [
          'sum by (reason) (rate(gantry_control_tasks_replaced_total[$__rate_interval])) or vector(0)',
          '{{reason}}',
        ],
      ],
    }),
    table({
      title: 'Services',
      description: 'Every service: how many tasks it should have, how many run, what they use.',
      unit: units.count,
      queries: [
        ['gantry:service_tasks_wanted', 'wanted'],
        ['gantry:service_tasks_running', 'running'],
        ['stack_service:container_cpu_usage_seconds:rate1m or gantry:service_tasks_wanted * 0', 'CPUs'],
        ['stack_service:container_memory_working_set_bytes:sum or gantry:service_tasks_wanted * 0', 'memory'],
      ],
      columnUnits: { CPUs: units.cpus, memory: units.bytes },
    }),
    row('Nodes'),
    timeseries({
      title: 'CPU',
      description: 'Share of all CPUs of each node that is in use.',
      unit: units.share,
      max: 1,
      queries: [[`node:cpu_usage:ratio_rate1m{${onNode}}`, '{{hostname}}']],
    }),
    timeseries({
      title: 'Memory',
      description: 'Share of the memory of each node that programs could not have any more.',
      unit: units.share,
      max: 1,
      queries: [[`node:memory_usage:ratio{${onNode}}`, '{{hostname}}']],
    }),
    timeseries({
      title: 'Disk',
      description: 'Share of the file system of the state directory that is in use.',
      unit: units.share,
      max: 1,
      queries: [[`node:state_disk_usage:ratio{${onNode}}`, '{{hostname}}']],
    }),
    timeseries({
      title: 'Running containers',
      description: 'Containers that run on each node, whoever started them.',
      unit: units.count,
      queries: [
        [`sum by (hostname) (gantry_node_agent_containers{state="running",${onNode}})`, '{{hostname}}'],
      ],
    }),
    timeseries({
      title: 'Container traffic',
      description: 'What the containers of each node receive and send.',
      unit: units.bytesPerSecond,
      queries: [
        [
          `sum by (hostname) (rate(container_network_receive_bytes_total{name!="",${onNode}}[$__rate_interval]))`,
          '{{hostname}} in',
        ],
        [
          `sum by (hostname) (rate(container_network_transmit_bytes_total{name!="",${onNode}}[$__rate_interval]))`,
          '{{hostname}} out',
        ],
      ],
    }),
    timeseries({
      title: 'Leases',
      description:
        'What is left of each node’s lease, as its agent counts. Renewed every second; 0 is too late.',
      unit: units.seconds,
      queries: [[`max by (hostname) (gantry_agent_lease_seconds{${onNode}})`, '{{hostname}}']],
    }),
    table({
      title: 'Targets',
      description: 'Every service of every node, and whether Prometheus can read its metrics: 1 yes, 0 no.',
      unit: units.count,
      queries: [[`up{job="gantry",${onNode}}`, 'up']],
      hide: ['node', 'instance'],
    }),
  ],
});

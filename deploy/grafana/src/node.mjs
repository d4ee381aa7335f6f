import { choices, dashboard } from './dashboard.mjs';
import { gauge, row, stat, table, timeseries, units } from './panels.mjs';

const onNode = 'hostname=~"$node"';
const rateOf = (by, series) => `sum by (${by}) (rate(${series}[$__rate_interval]))`;

export default dashboard({
  name: 'node',
  title: 'Node',
  description: 'One node or several: what the machine has left, its containers, and how Gantry fares on it.',
  variables: [choices.node],
  panels: [
    gauge({
      title: 'CPU',
      description: 'Share of all CPUs in use, the fullest of the chosen nodes.',
      unit: units.share,
      queries: [[`max(node:cpu_usage:ratio_rate1m{${onNode}})`, 'CPU']],
    }),
    gauge({
      title: 'Memory',
      description: 'Share of memory that programs could not have any more, the fullest of the chosen nodes.',
      unit: units.share,
      queries: [[`max(node:memory_usage:ratio{${onNode}})`, 'memory']],
    }),
    gauge({
      title: 'Disk',
      description: 'Share of the file system of the state directory in use, the fullest of the chosen nodes.',
      unit: units.share,
      queries: [[`max(node:state_disk_usage:ratio{${onNode}})`, 'disk']],
    }),
    gauge({
      title: 'Addresses',
      description: 'Share of the subnet’s addresses that is given out.',
      unit: units.share,
      queries: [
        [`max(gantry_network_addresses_taken{${onNode}} / gantry_network_addresses{${onNode}})`, 'addresses'],
      ],
    }),
    gauge({
      title: 'User id ranges',
      description: 'Share of the ranges of user ids that is given out.',
      unit: units.share,
      queries: [
        [`max(gantry_network_id_ranges_taken{${onNode}} / gantry_network_id_ranges{${onNode}})`, 'ranges'],
      ],
    }),
    stat({
      title: 'Containers running',
      description: 'On all chosen nodes.',
      unit: units.count,
      height: 6,
      queries: [[`sum(gantry_node_agent_containers{state="running",${onNode}})`, 'running']],
    }),
    row('The machine'),
    timeseries({
      title: 'CPU',
      description: 'CPU time used in a second by everything on the node: 1 is one whole CPU.',
      unit: units.cpus,
      queries: [
        [rateOf('hostname', `container_cpu_usage_seconds_total{id="/",${onNode}}`), '{{hostname}}'],
        [`sum by (hostname) (machine_cpu_cores{${onNode}})`, '{{hostname}} has'],
      ],
    }),
    timeseries({
      title: 'Memory',
      description: 'Memory in use by everything, page cache that was not used lately left out.',
      unit: units.bytes,
      queries: [
        [`sum by (hostname) (container_memory_working_set_bytes{id="/",${onNode}})`, '{{hostname}}'],
        [`sum by (hostname) (machine_memory_bytes{${onNode}})`, '{{hostname}} has'],
      ],
    }),
    timeseries({
      title: 'Disk of the state directory',
      description: 'What is left where images, layers, volumes and logs are.',
      unit: units.bytes,
      queries: [
        [`sum by (hostname) (gantry_node_agent_state_disk_available_bytes{${onNode}})`, '{{hostname}} free'],
        [`sum by (hostname) (gantry_node_agent_state_disk_bytes{${onNode}})`, '{{hostname}} has'],
      ],
    }),
    timeseries({
      title: 'Traffic of the machine',
      description: 'Bytes through the node’s own interfaces.',
      unit: units.bytesPerSecond,
      queries: [
        [
          `${rateOf('hostname, interface', `container_network_receive_bytes_total{id="/",${onNode}}`)} or vector(0)`,
          '{{hostname}} {{interface}} in',
        ],
        [
          `${rateOf('hostname, interface', `container_network_transmit_bytes_total{id="/",${onNode}}`)} or vector(0)`,
          '{{hostname}} {{interface}} out',
        ],
      ],
    }),
    timeseries({
      title: 'File systems',
      description: 'Share of each file system of the machine in use.',
      unit: units.share,
      max: 1,
      queries: [
        [
          `container_fs_usage_bytes{id="/",${onNode}} / container_fs_limit_bytes{id="/",${onNode}}`,
          '{{hostname}} {{device}}',
        ],
      ],
    }),
    timeseries({
      title: 'Lease',
      description:
        'What is left of the node’s lease. Renewed every second; 0 is too late, or no member of a cluster.',
      unit: units.seconds,
      queries: [[`max by (hostname) (gantry_agent_lease_seconds{${onNode}})`, '{{hostname}}']],
    }),
    row('Containers'),
    timeseries({
      title: 'Containers by state',
      description: 'All containers the node has records of.',
      unit: units.count,
      stack: true,
      queries: [[`sum by (state) (gantry_node_agent_containers{${onNode}})`, '{{state}}']],
    }),
    timeseries({
      title: 'Time to start',
      description: 'From the request to start until the container runs.',
      unit: units.seconds,
      queries: [0.5, 0.99].map((quantile) => [
        `histogram_quantile(${quantile}, ${rateOf('le', `gantry_node_agent_container_start_seconds_bucket{${onNode}}`)})`,
        `p${quantile * 100}`,
      ]),
    }),
    timeseries({
      title: 'Ends and restarts',
      description: 'Containers that ended, by reason, and those that their policy started again.',
      unit: units.perSecond,
      queries: [
        [
          `${rateOf('reason', `gantry_node_agent_container_exits_total{${onNode}}`)} or vector(0)`,
          '{{reason}}',
        ],
        [`sum(rate(gantry_node_agent_container_restarts_total{${onNode}}[$__rate_interval]))`, 'restarts'],
      ],
    }),
    timeseries({
      title: 'Tasks of the cluster',
      description: 'Tasks that control gave this node, by how far they are.',
      unit: units.count,
      stack: true,
      queries: [[`sum by (state) (gantry_agent_tasks{${onNode}}) or vector(0)`, '{{state}}']],
    }),
    timeseries({
      title: 'Health checks',
      description: 'Health checks run, by result.',
      unit: units.perSecond,
      queries: [
        [
          `${rateOf('result', `gantry_node_agent_health_checks_total{${onNode}}`)} or vector(0)`,
          '{{result}}',
        ],
      ],
    }),
    timeseries({
      title: 'Killed for want of memory',
      description: 'Processes of containers that the kernel killed at their limit.',
      unit: units.count,
      queries: [
        [
          `sum by (hostname) (increase(gantry_cgroup_supervisor_oom_kills_total{${onNode}}[$__rate_interval]))`,
          '{{hostname}}',
        ],
      ],
    }),
    row('Network and images'),
    timeseries({
      title: 'Ready sandboxes',
      description: 'Sandboxes ready to be taken, beside how many there should be.',
      unit: units.count,
      queries: [
        [`sum by (hostname) (gantry_network_pool_ready{${onNode}})`, '{{hostname}} ready'],
        [`sum by (hostname) (gantry_network_pool_target{${onNode}})`, '{{hostname}} wanted'],
      ],
    }),
    timeseries({
      title: 'Time to attach',
      description: 'Time to give a container its sandbox, 99 of 100, by where the sandbox came from.',
      unit: units.seconds,
      queries: [
        [
          `histogram_quantile(0.99, ${rateOf('le, source', `gantry_network_attach_seconds_bucket{${onNode}}`)})`,
          '{{source}}',
        ],
      ],
    }),
    timeseries({
      title: 'Names asked for',
      description: 'Queries of containers to the node’s name server, by what became of them.',
      unit: units.perSecond,
      queries: [
        [`${rateOf('outcome', `gantry_network_dns_queries_total{${onNode}}`)} or vector(0)`, '{{outcome}}'],
      ],
    }),
    timeseries({
      title: 'Repairs',
      description: 'Differences between kernel and records that were found and put right. Should be none.',
      unit: units.count,
      queries: [
        [
          `sum by (hostname) (increase(gantry_network_drift_total{${onNode}}[$__rate_interval]))`,
          '{{hostname}} network',
        ],
        [
          `sum by (hostname, step) (increase(gantry_node_agent_reconcile_steps_total{${onNode}}[$__rate_interval])) or vector(0)`,
          '{{hostname}} {{step}}',
        ],
      ],
    }),
    timeseries({
      title: 'Images',
      description: 'Bytes of unpacked layers and of blobs as they were fetched.',
      unit: units.bytes,
      queries: [
        [`sum by (hostname) (gantry_image_store_layer_bytes{${onNode}})`, '{{hostname}} layers'],
        [`sum by (hostname) (gantry_image_store_blob_bytes{${onNode}})`, '{{hostname}} blobs'],
      ],
    }),
    timeseries({
      title: 'Pulls and loads',
      description: 'Images fetched, by result.',
      unit: units.perSecond,
      queries: [
        [
          `${rateOf('operation, result', `gantry_image_store_fetch_duration_seconds_count{${onNode}}`)} or vector(0)`,
          '{{operation}} {{result}}',
        ],
      ],
    }),
    row('Gantry on the node'),
    timeseries({
      title: 'Memory of Gantry’s processes',
      description: 'Resident memory, nats-server and shims aside. One process may host all services.',
      unit: units.bytes,
      queries: [[`process_resident_memory_bytes{job="gantry",${onNode}}`, '{{instance}}']],
    }),
    timeseries({
      title: 'CPU of Gantry’s processes',
      description: 'CPU time used in a second.',
      unit: units.cpus,
      queries: [[rateOf('instance', `process_cpu_seconds_total{job="gantry",${onNode}}`), '{{instance}}']],
    }),
    timeseries({
      title: 'Event loop delay',
      description: 'How late a process is with what is due, 99 of 100 times.',
      unit: units.seconds,
      queries: [[`nodejs_eventloop_lag_p99_seconds{job="gantry",${onNode}}`, '{{instance}}']],
    }),
    table({
      title: 'Services',
      description: 'Gantry’s services on the chosen nodes, and whether Prometheus can read their metrics.',
      unit: units.count,
      queries: [[`up{job="gantry",${onNode}}`, 'up']],
      hide: ['instance'],
    }),
  ],
});

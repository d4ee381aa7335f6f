import { dashboard } from './dashboard.mjs';
import { row, stat, stateTimeline, timeseries, units } from './panels.mjs';

const quantiles = (histogram, by = '') =>
  [0.5, 0.99].map((quantile) => [
    `histogram_quantile(${quantile}, sum by (le${by === '' ? '' : `, ${by}`}) (rate(${histogram}[$__rate_interval])))`,
    `${by === '' ? '' : `{{${by}}} `}p${quantile * 100}`,
  ]);

export default dashboard({
  name: 'control',
  title: 'Control',
  description:
    'The control service: who leads, how its store and its decisions fare, what nodes and people ask of it.',
  panels: [
    stat({
      title: 'Term',
      description: 'Grows by one with each change of leader.',
      unit: units.count,
      queries: [['max(gantry_control_term)', 'term']],
    }),
    stat({
      title: 'Store revision',
      description: 'Of the newest write that control has seen.',
      unit: units.count,
      queries: [['max(gantry_control_store_revision)', 'revision']],
    }),
    stat({
      title: 'Services',
      description: 'Services of all stacks.',
      unit: units.count,
      queries: [['max(gantry_control_services)', 'services']],
    }),
    stat({
      title: 'Tasks running',
      description: 'Tasks of all services that run.',
      unit: units.count,
      queries: [['max(gantry_control_tasks{state="running"}) or vector(0)', 'running']],
    }),
    stat({
      title: 'Roll-outs paused',
      description: 'Roll-outs that stopped because new tasks failed.',
      unit: units.count,
      queries: [['max(gantry_control_rollouts{state="paused"}) or vector(0)', 'paused']],
      bad: 1,
    }),
    stat({
      title: 'Frozen',
      description: 'Whether control decides nothing because its store is not to be trusted.',
      unit: units.yesNo,
      queries: [['max(gantry_control_frozen) or vector(0)', 'frozen']],
      bad: 1,
    }),
    stateTimeline({
      title: 'Leader',
      description: 'Which control node leads.',
      unit: units.count,
      queries: [['max by (hostname) (gantry_control_leader)', '{{hostname}}']],
      states: { 0: ['follows', 'text'], 1: ['leads', 'green'] },
    }),
    timeseries({
      title: 'Term',
      description: 'Steps are changes of leader; many of them mean a slow store or a bad network.',
      unit: units.count,
      width: 12,
      queries: [['max by (hostname) (gantry_control_term)', '{{hostname}}']],
    }),
    row('Store and decisions'),
    timeseries({
      title: 'Writes to the store',
      description: 'How long JetStream takes until a majority of control nodes has a write.',
      unit: units.seconds,
      queries: quantiles('gantry_control_store_write_seconds_bucket'),
    }),
    timeseries({
      title: 'Rate of writes',
      description: 'Writes to the store. Each changes the revision by one.',
      unit: units.perSecond,
      queries: [
        [
          'sum by (hostname) (rate(gantry_control_store_write_seconds_count[$__rate_interval]))',
          '{{hostname}}',
        ],
      ],
    }),
    timeseries({
      title: 'Decisions',
      description: 'How long scheduler and reconciler think about one round.',
      unit: units.seconds,
      queries: quantiles('gantry_control_decision_seconds_bucket'),
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
      title: 'Tasks that fit nowhere',
      description: 'Tasks for which no node passes every filter.',
      unit: units.count,
      queries: [['max(gantry_control_unplaced_tasks)', 'unplaced']],
    }),
    timeseries({
      title: 'Roll-outs',
      description: 'Services by what their roll-out does.',
      unit: units.count,
      queries: [['max by (state) (gantry_control_rollouts) or vector(0)', '{{state}}']],
    }),
    timeseries({
      title: 'Leases that ran out',
      description: 'Nodes that did not renew in time.',
      unit: units.count,
      queries: [
        ['sum(increase(gantry_control_leases_expired_total[$__rate_interval])) or vector(0)', 'expired'],
      ],
    }),
    timeseries({
      title: 'Tasks replaced',
      description: 'Tasks that others took the place of, by reason.',
      unit: units.perSecond,
      queries: [
        [
          'sum by (reason) (rate(gantry_control_tasks_replaced_total[$__rate_interval])) or vector(0)',
          '{{reason}}',
        ],
      ],
    }),
    timeseries({
      title: 'Tasks by state',
      description: 'All tasks that control keeps, by how far they are.',
      unit: units.count,
      stack: true,
      queries: [['max by (state) (gantry_control_tasks)', '{{state}}']],
    }),
    row('What is asked of control'),
    timeseries({
      title: 'Requests',
      description:
        'Requests that control answered, by method. RenewLease comes from every node once a second.',
      unit: units.perSecond,
      queries: [
        [
          'sum by (method) (rate(gantry_bus_request_duration_seconds_count{service="control"}[$__rate_interval]))',
          '{{method}}',
        ],
      ],
    }),
    timeseries({
      title: 'Time to answer',
      description: 'How long control takes, 99 of 100 requests, by method.',
      unit: units.seconds,
      queries: [
        [
          `histogram_quantile(0.99, sum by (le, method) (
             rate(gantry_bus_request_duration_seconds_bucket{service="control"}[$__rate_interval])))`,
          '{{method}}',
        ],
      ],
    }),
    timeseries({
      title: 'Failures',
      description: 'Requests that control refused or failed, by method and code.',
      unit: units.perSecond,
      queries: [
        [
          `sum by (method, code) (
             rate(gantry_bus_request_duration_seconds_count{service="control",code!="ok"}[$__rate_interval])) or vector(0)`,
          '{{method}} {{code}}',
        ],
      ],
    }),
    timeseries({
      title: 'Open streams',
      description:
        'Streams that control serves: a WatchTasks for each node, logs, events, roll-outs watched.',
      unit: units.count,
      queries: [['sum by (method) (gantry_bus_open_streams{service="control"}) or vector(0)', '{{method}}']],
    }),
    timeseries({
      title: 'Memory of control nodes’ processes',
      description: 'Resident memory of the processes that run Gantry on control nodes, nats-server aside.',
      unit: units.bytes,
      queries: [
        ['sum by (hostname) (process_resident_memory_bytes{job="gantry",role="control"})', '{{hostname}}'],
      ],
    }),
    timeseries({
      title: 'Event loop delay on control nodes',
      description:
        'How late the process is with what is due, 99 of 100 times. Leases suffer when it nears a second.',
      unit: units.seconds,
      queries: [
        ['max by (hostname) (nodejs_eventloop_lag_p99_seconds{job="gantry",role="control"})', '{{hostname}}'],
      ],
    }),
  ],
});

import { choices, dashboard } from './dashboard.mjs';
import { row, stat, timeseries, units } from './panels.mjs';

const onNode = 'job="gantry",hostname=~"$node"';

export default dashboard({
  name: 'bus',
  title: 'Bus',
  description: 'Messages between Gantry’s services, and what comes in through the HTTP door.',
  variables: [choices.node],
  panels: [
    stat({
      title: 'Requests',
      description: 'Requests answered by all services in a second.',
      unit: units.perSecond,
      queries: [
        [`sum(rate(gantry_bus_request_duration_seconds_count{${onNode}}[$__rate_interval]))`, 'requests'],
      ],
    }),
    stat({
      title: 'Failures of ours',
      description: 'Share of the requests that failed for a reason that is not the asker’s.',
      unit: units.share,
      queries: [
        [
          `sum(node_service:gantry_bus_failures:rate5m{hostname=~"$node"})
           / sum(node_service:gantry_bus_requests:rate5m{hostname=~"$node"}) or vector(0)`,
          'failures',
        ],
      ],
      bad: 0.05,
    }),
    stat({
      title: 'Open streams',
      description: 'Logs, events, attachments, watches that are open now.',
      unit: units.count,
      queries: [[`sum(gantry_bus_open_streams{${onNode}}) or vector(0)`, 'streams']],
    }),
    stat({
      title: 'Reconnects in an hour',
      description: 'Times a service lost its connection to nats-server and made it again.',
      unit: units.count,
      queries: [[`sum(increase(gantry_bus_reconnects_total{${onNode}}[1h]))`, 'reconnects']],
      bad: 10,
    }),
    stat({
      title: 'HTTP requests',
      description: 'Requests through the api in a second.',
      unit: units.perSecond,
      queries: [
        [
          `sum(rate(gantry_api_http_request_duration_seconds_count{${onNode}}[$__rate_interval]))`,
          'requests',
        ],
      ],
    }),
    stat({
      title: 'Services up',
      description: 'Services whose metrics can be read.',
      unit: units.count,
      queries: [[`sum(up{${onNode}})`, 'up']],
      bad: 1,
      good: 'high',
    }),
    row('Requests'),
    timeseries({
      title: 'Requests by service',
      description: 'Requests that each service answered, on all chosen nodes.',
      unit: units.perSecond,
      queries: [
        [
          `sum by (service) (rate(gantry_bus_request_duration_seconds_count{${onNode}}[$__rate_interval]))`,
          '{{service}}',
        ],
      ],
    }),
    timeseries({
      title: 'Requests by method',
      description: 'The ten methods asked for most.',
      unit: units.perSecond,
      queries: [
        [
          `topk(10, sum by (service, method) (
             rate(gantry_bus_request_duration_seconds_count{${onNode}}[$__rate_interval])))`,
          '{{service}} {{method}}',
        ],
      ],
    }),
    timeseries({
      title: 'Failures',
      description:
        'Requests that ended with an error, by code. not_found and invalid_argument are the asker’s.',
      unit: units.perSecond,
      queries: [
        [
          `sum by (service, code) (
             rate(gantry_bus_request_duration_seconds_count{${onNode},code!="ok"}[$__rate_interval])) or vector(0)`,
          '{{service}} {{code}}',
        ],
      ],
    }),
    timeseries({
      title: 'Half of the requests take',
      description: 'Median time to answer, by service. Streams last as long as somebody listens.',
      unit: units.seconds,
      queries: [
        [
          `histogram_quantile(0.5, sum by (le, service) (
             rate(gantry_bus_request_duration_seconds_bucket{${onNode}}[$__rate_interval])))`,
          '{{service}}',
        ],
      ],
    }),
    timeseries({
      title: 'Quick methods, 99 of 100',
      description: 'Time to answer of the methods that should be quick; an alert watches the same.',
      unit: units.seconds,
      queries: [
        [
          'max by (service, method) (service_method:gantry_bus_request_duration_seconds:p99_5m{hostname=~"$node"})',
          '{{service}} {{method}}',
        ],
      ],
    }),
    timeseries({
      title: 'Calls by service called',
      description: 'Time until the answer came, as the caller saw it, 99 of 100.',
      unit: units.seconds,
      queries: [
        [
          `histogram_quantile(0.99, sum by (le, callee) (
             rate(gantry_bus_call_duration_seconds_bucket{${onNode}}[$__rate_interval])))`,
          '{{callee}}',
        ],
      ],
    }),
    row('Streams, events, connections'),
    timeseries({
      title: 'Open streams',
      description: 'Streams being served, by method.',
      unit: units.count,
      queries: [
        [
          `sum by (service, method) (gantry_bus_open_streams{${onNode}}) or vector(0)`,
          '{{service}} {{method}}',
        ],
      ],
    }),
    timeseries({
      title: 'Events',
      description: 'Events published, by kind.',
      unit: units.perSecond,
      queries: [
        [
          `sum by (kind) (rate(gantry_bus_events_published_total{${onNode}}[$__rate_interval])) or vector(0)`,
          '{{kind}}',
        ],
      ],
    }),
    timeseries({
      title: 'Reconnects',
      description: 'Connections to nats-server that were lost and made again.',
      unit: units.count,
      queries: [
        [
          `sum by (hostname, service) (increase(gantry_bus_reconnects_total{${onNode}}[$__rate_interval]))`,
          '{{hostname}} {{service}}',
        ],
      ],
    }),
    row('The HTTP door'),
    timeseries({
      title: 'HTTP requests by status',
      description: 'Answers of the api, by status. 5xx are failures of Gantry.',
      unit: units.perSecond,
      queries: [
        [
          `sum by (status) (
             rate(gantry_api_http_request_duration_seconds_count{${onNode}}[$__rate_interval]))`,
          '{{status}}',
        ],
      ],
    }),
    timeseries({
      title: 'HTTP, 99 of 100',
      description: 'Time to answer, by route; waiting for a container to end counts too.',
      unit: units.seconds,
      queries: [
        [
          `histogram_quantile(0.99, sum by (le, route) (
             rate(gantry_api_http_request_duration_seconds_bucket{${onNode}}[$__rate_interval])))`,
          '{{route}}',
        ],
      ],
    }),
    timeseries({
      title: 'HTTP streams',
      description: 'Streams through the api that are open.',
      unit: units.count,
      queries: [[`sum by (route) (gantry_api_open_streams{${onNode}}) or vector(0)`, '{{route}}']],
    }),
  ],
});

// The frame around panels: variables, links between the dashboards, and where each panel stands.
import { datasource } from './panels.mjs';

const columns = 24;

/** A choice at the top of a dashboard, filled from the values of a label. All of them at first. */
export function choice(name, label, values) {
  return {
    name,
    label,
    type: 'query',
    datasource,
    query: { query: values, refId: `${name}-values` },
    definition: values,
    refresh: 2,
    sort: 1,
    regex: '',
    includeAll: true,
    allValue: '.*',
    multi: true,
    hide: 0,
    current: { selected: true, text: ['All'], value: ['$__all'] },
    options: [],
  };
}

export const choices = {
  node: choice('node', 'Node', 'label_values(up{job="gantry"}, hostname)'),
  stack: choice('stack', 'Stack', 'label_values(gantry:task_info, stack)'),
  service: choice('service', 'Service', 'label_values(gantry:task_info{stack=~"$stack"}, service)'),
  container: choice(
    'container',
    'Container',
    'label_values(container_last_seen{name!="",hostname=~"$node"}, name)',
  ),
};

/** The dashboard's JSON as Grafana's provisioning reads it. */
export function dashboard({ name, title, description, variables = [], panels }) {
  return {
    uid: `gantry-${name}`,
    title: `Gantry / ${title}`,
    description,
    tags: ['gantry'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    timezone: 'browser',
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    timepicker: {},
    fiscalYearStartMonth: 0,
    annotations: { list: [] },
    links: [
      {
        type: 'dashboards',
        title: 'Gantry',
        tags: ['gantry'],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
        icon: 'external link',
        tooltip: '',
        url: '',
      },
    ],
    templating: {
      list: [
        {
          name: 'datasource',
          label: 'Prometheus',
          type: 'datasource',
          query: 'prometheus',
          refresh: 1,
          regex: '',
          includeAll: false,
          multi: false,
          hide: 0,
          current: {},
          options: [],
        },
        ...variables,
      ],
    },
    panels: arrange(panels),
  };
}

/** Places panels from left to right, a new line when one does not fit; numbers them. */
function arrange(panels) {
  let x = 0;
  let y = 0;
  let lineHeight = 0;
  return panels.map(({ size, ...panel }, index) => {
    if (x + size.w > columns) {
      x = 0;
      y += lineHeight;
      lineHeight = 0;
    }
    const gridPos = { x, y, w: size.w, h: size.h };
    x += size.w;
    lineHeight = Math.max(lineHeight, size.h);
    return { id: index + 1, ...panel, gridPos };
  });
}

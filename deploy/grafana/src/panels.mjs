// Panels as Grafana's dashboard JSON has them, from what differs between them: words, unit and queries.

export const datasource = { type: 'prometheus', uid: '${datasource}' };

/** Units of Grafana that Gantry's figures come in. */
export const units = {
  count: 'short',
  bytes: 'bytes',
  bytesPerSecond: 'Bps',
  perSecond: 'ops',
  seconds: 's',
  share: 'percentunit',
  cpus: 'none',
  yesNo: 'bool_yes_no',
  time: 'dateTimeAsIso',
};

/**
 * @typedef {object} Words
 * @property {string} title
 * @property {string} description  a sentence or two: what is seen, and what is normal
 * @property {string} unit  one of `units`
 * @property {[expression: string, legend: string][]} queries
 */

/** Curves over time. */
export function timeseries({ stack = false, max, ...words }) {
  return panel('timeseries', words, {
    size: { w: 8, h: 8 },
    custom: {
      drawStyle: 'line',
      lineWidth: 1,
      fillOpacity: stack ? 30 : 10,
      showPoints: 'never',
      spanNulls: false,
      stacking: { mode: stack ? 'normal' : 'none', group: 'A' },
    },
    defaults: { min: 0, ...(max === undefined ? {} : { max }) },
    options: {
      legend: { displayMode: 'table', placement: 'bottom', showLegend: true, calcs: ['lastNotNull', 'max'] },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  });
}

/** One number now. `bad` is the value from which it is red; `good: 'high'` turns that round. */
export function stat({ bad, good = 'low', mappings = [], ...words }) {
  const [calm, alarming] = ['green', 'red'];
  const steps =
    bad === undefined
      ? [{ color: 'text', value: null }]
      : good === 'low'
        ? [
            { color: calm, value: null },
            { color: alarming, value: bad },
          ]
        : [
            { color: alarming, value: null },
            { color: calm, value: bad },
          ];
  return panel('stat', words, {
    size: { w: 4, h: 4 },
    instant: true,
    defaults: { thresholds: { mode: 'absolute', steps }, mappings },
    options: {
      colorMode: bad === undefined ? 'none' : 'value',
      graphMode: 'none',
      justifyMode: 'auto',
      textMode: 'auto',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    },
  });
}

/** A share of something, 0 to 1. */
export function gauge(words) {
  return panel('gauge', words, {
    size: { w: 4, h: 6 },
    instant: true,
    defaults: {
      min: 0,
      max: 1,
      thresholds: {
        mode: 'absolute',
        steps: [
          { color: 'green', value: null },
          { color: 'orange', value: 0.8 },
          { color: 'red', value: 0.9 },
        ],
      },
    },
    options: {
      showThresholdLabels: false,
      showThresholdMarkers: true,
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    },
  });
}

/** Coloured bars over time, one for each legend. `states` maps a value to a word and a colour. */
export function stateTimeline({ states, ...words }) {
  return panel('state-timeline', words, {
    size: { w: 12, h: 8 },
    custom: { lineWidth: 0, fillOpacity: 80 },
    defaults: {
      mappings: [
        {
          type: 'value',
          options: Object.fromEntries(
            Object.entries(states).map(([value, [text, color]], index) => [value, { text, color, index }]),
          ),
        },
      ],
      thresholds: { mode: 'absolute', steps: [{ color: 'text', value: null }] },
    },
    options: {
      mergeValues: true,
      showValue: 'never',
      rowHeight: 0.85,
      alignValue: 'left',
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'single', sort: 'none' },
    },
  });
}

/**
 * Rows of labels with a column for each query, joined over what they share. Each query's legend names its column;
 * `columnUnits` gives the unit of a column by that name.
 */
export function table({ hide = [], columnUnits = {}, ...words }) {
  const columns = words.queries.map(([, legend]) => legend);
  const letters = words.queries.map((_, index) => refId(index));
  const hidden = ['Time', '__name__', 'job', ...hide];
  return panel('table', words, {
    size: { w: 24, h: 8 },
    instant: true,
    format: 'table',
    custom: { align: 'auto', filterable: true },
    overrides: Object.entries(columnUnits).map(([name, unit]) => ({
      matcher: { id: 'byName', options: name },
      properties: [{ id: 'unit', value: unit }],
    })),
    options: { showHeader: true, cellHeight: 'sm' },
    transformations: [
      ...(columns.length > 1 ? [{ id: 'merge', options: {} }] : []),
      {
        id: 'organize',
        options: {
          excludeByName: Object.fromEntries(hidden.map((name) => [name, true])),
          renameByName: Object.fromEntries(
            columns.length > 1
              ? columns.map((name, index) => [`Value #${letters[index]}`, name])
              : [['Value', columns[0]]],
          ),
        },
      },
    ],
  });
}

/** A heading; the panels after it are under it. */
export function row(title) {
  return { type: 'row', title, collapsed: false, panels: [], size: { w: 24, h: 1 } };
}

const refId = (index) => String.fromCharCode('A'.charCodeAt(0) + index);

function panel(type, { title, description, unit, queries, width, height }, kind) {
  const { size, instant = false, format = 'time_series', custom, defaults = {}, overrides = [] } = kind;
  return {
    type,
    title,
    description,
    datasource,
    size: { w: width ?? size.w, h: height ?? size.h },
    targets: queries.map(([expr, legendFormat], index) => ({
      refId: refId(index),
      datasource,
      editorMode: 'code',
      expr: expr.replace(/\s+/g, ' ').trim(),
      legendFormat,
      format,
      instant,
      range: !instant,
    })),
    fieldConfig: {
      defaults: { unit, ...defaults, ...(custom === undefined ? {} : { custom }) },
      overrides,
    },
    options: kind.options,
    ...(kind.transformations === undefined ? {} : { transformations: kind.transformations }),
  };
}

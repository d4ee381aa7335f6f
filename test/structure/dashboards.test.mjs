// The dashboards of deploy/grafana: current, and such that Grafana and a reader can do something with them.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import yaml from 'yaml';
import { renderDashboards } from '../../deploy/grafana/src/build.mjs';
import { collectMetrics } from '../../tools/document-metrics.mjs';
import { metricsIn, readRules } from '../../tools/read-queries.mjs';
import { root } from './projects.mjs';

const place = join(root, 'deploy/grafana');
const files = globSync('dashboards/*.json', { cwd: place }).sort();
const dashboards = files.map((file) => ({
  name: basename(file, '.json'),
  ...JSON.parse(readFileSync(join(place, file), 'utf8')),
}));
const panels = dashboards.flatMap((dashboard) =>
  dashboard.panels.map((panel) => ({ ...panel, place: `${dashboard.name}: ${panel.title}`, dashboard })),
);
const charts = panels.filter(({ type }) => type !== 'row');
const queries = charts.flatMap(({ place, targets }) => targets.map(({ expr }) => ({ place, expr })));

const none = (list) => assert.equal(list.join('\n'), '');

test('the JSON is what the sources make', async () => {
  const rendered = await renderDashboards();
  assert.deepEqual(
    rendered.map(({ path }) => basename(path)).sort(),
    files.map((file) => basename(file)),
  );
  none(
    rendered
      .filter(({ path, text }) => readFileSync(path, 'utf8') !== text)
      .map(({ path }) => `${path} is not current: run node deploy/grafana/src/build.mjs`),
  );
});

test('there are six, each with an id and a title of its own', () => {
  assert.deepEqual(
    dashboards.map(({ name }) => name),
    ['bus', 'cluster', 'container', 'control', 'node', 'service'],
  );
  assert.equal(new Set(dashboards.map(({ uid }) => uid)).size, 6);
  for (const { uid, title, schemaVersion, tags, time, description } of dashboards) {
    assert.match(uid, /^[a-z-]{1,40}$/);
    assert.ok(title.length > 0 && description.length > 20);
    assert.ok(schemaVersion >= 36, 'panels would be migrated');
    assert.deepEqual(tags, ['gantry']);
    assert.match(time.from, /^now-/);
  }
});

test('panels lie within the grid, none over another', () => {
  for (const { name, panels: own } of dashboards) {
    assert.equal(new Set(own.map(({ id }) => id)).size, own.length, `${name} has a panel id twice`);
    const taken = new Map();
    for (const { title, gridPos } of own) {
      assert.ok(gridPos.x >= 0 && gridPos.w > 0 && gridPos.h > 0 && gridPos.x + gridPos.w <= 24, title);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          assert.equal(taken.get(`${x},${y}`), undefined, `${name}: ${title} lies over another panel`);
          taken.set(`${x},${y}`, title);
        }
    }
  }
});

test('every panel has a known type, a title, a description, a unit, and a legend for each query', () => {
  const types = ['timeseries', 'stat', 'gauge', 'table', 'state-timeline'];
  const units = ['short', 'none', 'bytes', 'Bps', 'ops', 's', 'percentunit', 'bool_yes_no'];
  none(
    charts.flatMap(({ place, type, description, fieldConfig, targets, options }) => [
      ...(types.includes(type) ? [] : [`${place} is of type ${type}`]),
      ...(/^[A-Z].{10,}\.$/.test(description) ? [] : [`${place} does not say what it shows`]),
      ...(units.includes(fieldConfig.defaults.unit)
        ? []
        : [`${place} has unit ${fieldConfig.defaults.unit}`]),
      ...(targets.length > 0 && targets.every(({ legendFormat }) => legendFormat.length > 0)
        ? []
        : [`${place} has a query without a legend`]),
      ...(typeof options === 'object' ? [] : [`${place} has no options`]),
    ]),
  );
});

test('every query goes to the chosen data source, with an id of its own', () => {
  const variable = { type: 'prometheus', uid: '${datasource}' };
  for (const { place, datasource, targets } of charts) {
    assert.deepEqual(datasource, variable, place);
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, place);
    for (const target of targets) {
      assert.deepEqual(target.datasource, variable, place);
      assert.equal(target.instant, !target.range, place);
    }
  }
});

test('every variable that is used is defined, and every one that is defined is used', () => {
  for (const { name, templating, panels: own } of dashboards) {
    const defined = new Map(templating.list.map((variable) => [variable.name, variable]));
    assert.equal(defined.get('datasource')?.type, 'datasource', name);
    const text = own.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)).join('\n');
    const used = new Set([...text.matchAll(/\$(?!__)(\w+)/g)].map((match) => match[1]));
    assert.deepEqual(
      [...used].sort(),
      [...defined.keys()].filter((key) => key !== 'datasource').sort(),
      name,
    );
    for (const variable of used) {
      const { type, definition, query, datasource } = defined.get(variable);
      assert.equal(type, 'query');
      assert.match(definition, /^label_values\(.+, \w+\)$/);
      assert.equal(query.query, definition);
      assert.deepEqual(datasource, { type: 'prometheus', uid: '${datasource}' });
    }
  }
});

test('dashboards ask only for series that exist', async () => {
  const known = new Set([
    ...(await collectMetrics()).flatMap(({ metrics }) => metrics).map(({ name }) => name),
    ...readRules().flatMap(({ record }) => record ?? []),
    'up',
    'ALERTS',
  ]);
  none(
    queries.flatMap(({ place, expr }) =>
      metricsIn(expr)
        .filter((name) => !known.has(name) && !known.has(name.replace(/_(bucket|count|sum)$/, '')))
        .map((name) => `${place} asks for ${name}`),
    ),
  );
});

test('the provisioning files name what is there', () => {
  const read = (file) => yaml.parse(readFileSync(join(place, 'provisioning', file), 'utf8'));
  const [source] = read('datasources/gantry.yml').datasources;
  const { global } = yaml.parse(readFileSync(join(root, 'deploy/prometheus/prometheus.yml'), 'utf8'));
  assert.equal(source.type, 'prometheus');
  assert.equal(source.jsonData.timeInterval, global.scrape_interval);
  const [provider] = read('dashboards/gantry.yml').providers;
  assert.equal(provider.type, 'file');
  assert.ok(readFileSync(join(place, 'README.md'), 'utf8').includes(provider.options.path));
});

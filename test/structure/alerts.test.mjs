// Rules and their tests as promtool reads them, and that each alert has what an alert needs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import yaml from 'yaml';
import { collectMetrics } from '../../tools/document-metrics.mjs';
import { metricsIn, readRules } from '../../tools/read-queries.mjs';
import { root } from './projects.mjs';

const place = join(root, 'deploy/prometheus');
const rules = readRules();
const alerts = rules.filter(({ alert }) => alert !== undefined);
const testFiles = globSync('tests/*.yml', { cwd: place }).sort();
const cases = testFiles
  .flatMap((file) => yaml.parse(readFileSync(join(place, file), 'utf8')).tests)
  .flatMap((one) => one.alert_rule_test ?? []);

function promtool(...words) {
  const { status, stdout, stderr, error } = spawnSync('promtool', words, { cwd: place, encoding: 'utf8' });
  assert.equal(error, undefined);
  assert.equal(status, 0, stdout + stderr);
}

test('promtool takes the configuration and the rules', () => {
  promtool('check', 'config', '--syntax-only', 'prometheus.yml');
  promtool('check', 'rules', ...globSync('rules/*.yml', { cwd: place }));
});

for (const file of testFiles) test(`promtool test rules ${file}`, () => promtool('test', 'rules', file));

test('each alert has a case in which it fires and one in which it does not', () => {
  assert.ok(alerts.length > 30);
  const lacking = alerts.flatMap(({ alert }) => {
    const own = cases.filter(({ alertname }) => alertname === alert);
    return [
      ...(own.some(({ exp_alerts: expected }) => expected.length > 0)
        ? []
        : [`${alert} is never seen firing`]),
      ...(own.some(({ exp_alerts: expected }) => expected.length === 0)
        ? []
        : [`${alert} is never seen quiet`]),
    ];
  });
  assert.deepEqual(lacking, []);
});

test('each alert has a severity, a sentence, and a section in docs/alerts.md, which has no others', () => {
  const headings = [...readFileSync(join(root, 'docs/alerts.md'), 'utf8').matchAll(/^### (\w+)$/gm)];
  assert.deepEqual(headings.map((match) => match[1]).sort(), alerts.map(({ alert }) => alert).sort());
  const lacking = alerts.filter(
    ({ alert, labels, annotations }) =>
      !['critical', 'warning', 'info'].includes(labels.severity) ||
      !/\.$/.test(annotations.summary) ||
      annotations.runbook !== `docs/alerts.md#${alert.toLowerCase()}`,
  );
  assert.deepEqual(
    lacking.map(({ alert }) => alert),
    [],
  );
});

test('rules ask only for series that exist', async () => {
  const known = new Set(
    (await collectMetrics())
      .flatMap(({ metrics }) => metrics)
      .map(({ name }) => name)
      .concat(
        'up',
        rules.flatMap(({ record }) => record ?? []),
      ),
  );
  const unknown = rules.flatMap(({ alert, record, expr }) =>
    metricsIn(expr)
      .filter((name) => !known.has(name) && !known.has(name.replace(/_(bucket|count|sum)$/, '')))
      .map((name) => `${alert ?? record} asks for ${name}`),
  );
  assert.deepEqual(unknown, []);
});

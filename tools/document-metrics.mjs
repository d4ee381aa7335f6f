// Writes docs/metrics.md from the metrics that the built services register, and what is made of them; with --check only says whether it is current.
//   node tools/document-metrics.mjs [--check]
import { globSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { dashboards } from '../deploy/grafana/src/build.mjs';
import { generatedDocument, writeWhenStarted } from './generated-document.mjs';
import { readRules } from './read-queries.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const document = generatedDocument('metrics.md');

/** Stands for whatever a metrics module is given to read from: registering asks nothing of it. */
const anything = new Proxy(() => undefined, {
  get: (_, key) => (key === Symbol.iterator ? [][Symbol.iterator].bind([]) : anything),
  apply: () => anything,
});

function describe(registry) {
  return registry.getMetricsAsArray().map((metric) => ({
    name: metric.name,
    type: metric.type ?? metric.constructor.name.toLowerCase(),
    labels: metric.labelNames ?? [],
    help: metric.help,
  }));
}

/** What one module's `createXxxMetrics` or `registerXxxMetrics` functions register. */
async function registeredBy(file) {
  const registry = new Registry();
  const module = await import(pathToFileURL(file).href);
  const creators = Object.entries(module).filter(
    ([name, value]) => /^(create|register)\w*Metrics$/.test(name) && typeof value === 'function',
  );
  if (creators.length === 0)
    throw new Error(`${file} exports no createXxxMetrics or registerXxxMetrics function`);
  for (const [, create] of creators) create(registry, anything, anything)?.expose?.(anything);
  return describe(registry);
}

/** Groups of metrics: one for each service, one for what all have, one for the containers. */
export async function collectMetrics() {
  const groups = [];
  for (const name of readdirSync(join(root, 'packages')).sort()) {
    // A service may keep the figures of a part of it beside that part.
    const sources = globSync('{metrics.ts,*/*-metrics.ts}', {
      cwd: join(root, 'packages', name, 'src'),
    }).sort();
    const metrics = [];
    for (const source of sources)
      metrics.push(
        ...(await registeredBy(join(root, 'packages', name, 'dist', source.replace(/ts$/, 'js')))),
      );
    if (metrics.length > 0) groups.push({ title: name, about: `Served by ${name}.`, metrics });
  }
  groups.push({
    title: 'Every service',
    about: 'Requests, calls and events on the bus; the harness counts them without a service having to.',
    metrics: await registeredBy(join(root, 'packages/bus/dist/bus-metrics.js')),
  });
  const supervisor = (file) =>
    import(pathToFileURL(join(root, 'packages/cgroup-supervisor/dist', file)).href);
  const { containerFamilies, deviceFamilies } = await supervisor('container-metrics.js');
  const { interfaceFamilies } = await supervisor('network-figures.js');
  const { filesystemFamilies, machineFamilies } = await supervisor('machine-metrics.js');
  const labels = ['id', 'name', 'image'];
  groups.unshift({
    title: 'Containers',
    about:
      "Served by cgroup-supervisor under cAdvisor's names and with its meanings, so that its dashboards and alerts fit. " +
      '`id` is the cgroup path, `/` the whole machine, which has CPU, memory, network and file systems too. `container_memory_failcnt` is untyped: it counts, but its name lacks the `_total` of a counter.',
    metrics: [
      ...containerFamilies.map(({ name, type, help, more }) => ({
        name,
        type,
        help,
        labels: [...labels, ...[...(more ?? '').matchAll(/,(\w+)=/g)].map((match) => match[1])],
      })),
      ...deviceFamilies.map(({ name, help }) => ({
        name,
        type: 'counter',
        help,
        labels: [...labels, 'device'],
      })),
      ...interfaceFamilies.map(({ name, help }) => ({
        name,
        type: 'counter',
        help,
        labels: [...labels, 'interface'],
      })),
      ...filesystemFamilies.map(({ name, help }) => ({
        name,
        type: 'gauge',
        help,
        labels: ['id', 'device'],
      })),
      ...machineFamilies.map(({ name, help }) => ({ name, type: 'gauge', help, labels: [] })),
    ],
  });
  const processRegistry = new Registry();
  collectDefaultMetrics({ register: processRegistry });
  groups.push({
    title: 'Every process',
    about: "Node.js' own figures, once for each process: from the first service it hosts.",
    metrics: describe(processRegistry),
  });
  return groups;
}

const tableOf = (columns, rows) =>
  [columns, columns.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n') + '\n';

/** What deploy/prometheus and deploy/grafana make of the metrics. */
function renderUses() {
  const rules = readRules();
  const recorded = rules.filter(({ record }) => record !== undefined);
  const alerts = rules.filter(({ alert }) => alert !== undefined);
  const panels = ({ panels }) => panels.filter(({ type }) => type !== 'row').length;
  return [
    '## Recorded series',
    'Made by [deploy/prometheus](../deploy/prometheus/README.md) every ten seconds.',
    tableOf(
      ['name', 'from'],
      recorded.map(({ record, expr }) => [`\`${record}\``, `\`${expr.replace(/\s+/g, ' ').trim()}\``]),
    ),
    '## Alerts',
    'Each with what to do about it in [alerts.md](alerts.md).',
    tableOf(
      ['alert', 'severity', 'after', 'says'],
      alerts.map(({ alert, labels, for: wait = 'at once', annotations }) => [
        `[${alert}](${annotations.runbook.replace('docs/', '')})`,
        labels.severity,
        wait,
        annotations.summary.replace(/\{\{[^}]*?(\w+)(?: \| \w+)? *\}\}/g, (_, word) => `*${word}*`),
      ]),
    ),
    '## Dashboards',
    'In [deploy/grafana](../deploy/grafana/README.md).',
    tableOf(
      ['dashboard', 'panels', 'shows'],
      dashboards.map((dashboard) => [
        dashboard.title.replace('Gantry / ', ''),
        panels(dashboard),
        dashboard.description,
      ]),
    ),
  ].join('\n\n');
}

/** The whole document, formatted. */
export async function renderDocument() {
  const sections = (await collectMetrics()).map(({ title, about, metrics }) => {
    const rows = metrics.map(({ name, type, labels, help }) => {
      const cells = [
        `\`${name}\``,
        type,
        labels.map((label) => `\`${label}\``).join(' '),
        help.replaceAll('|', '\\|'),
      ];
      return `| ${cells.join(' | ')} |`;
    });
    return `## ${title}\n\n${about}\n\n| name | type | labels | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`;
  });
  const head =
    '# Metrics\n\n<!-- Generated by tools/document-metrics.mjs from what the services register. Do not edit. -->\n\n' +
    'Every service serves Prometheus text on `/metrics` at the loopback address that `gantry info --format json` names. ' +
    "A cluster member's api offers the same at `/v1/metrics/<service>` over TLS, to bearers of a token. Gantry's own series " +
    'begin with `gantry_`; times are seconds, sizes bytes.\n\n';
  return document.format(`${head}${sections.join('\n')}\n${renderUses()}`);
}

/** The document as it is committed; empty when there is none. */
export const readDocument = document.read;

await writeWhenStarted(document, import.meta.url, renderDocument);

// What deploy/prometheus and deploy/grafana ask Prometheus for, read from the files themselves.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import yaml from 'yaml';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Every recording and alerting rule, with the group it is in. */
export function readRules() {
  return globSync('deploy/prometheus/rules/*.yml', { cwd: root })
    .sort()
    .flatMap((file) => yaml.parse(readFileSync(join(root, file), 'utf8')).groups)
    .flatMap(({ name, rules }) => rules.map((rule) => ({ ...rule, group: name })));
}

/** Words of PromQL that are no metric though they stand where one could. */
const keywords =
  /^(by|without|on|ignoring|group_left|group_right|and|or|unless|bool|offset|inf|nan|sum|max|min|avg|count|topk|bottomk|quantile|stddev|group)$/i;

/** Names of the metrics in an expression. */
export function metricsIn(expression) {
  const bare = expression
    .replace(/"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/g, '""')
    .replace(/\{[^{}]*\}/g, '{}')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ');
  return [...new Set([...bare.matchAll(/[a-zA-Z_:][\w:]*(?!\w*\s*\()/g)].map((match) => match[0]))].filter(
    (name) => !keywords.test(name) && !/^[\d.]*e?\d*$/.test(name),
  );
}

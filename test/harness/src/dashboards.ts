import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestPrometheus } from './prometheus.js';

const dashboards = fileURLToPath(new URL('../../../deploy/grafana/dashboards', import.meta.url));

/** One query of one panel, with its variables filled in as Grafana does at first: everything chosen. */
export interface PanelQuery {
  /** "cluster: Nodes ready (A)" */
  readonly place: string;
  readonly expression: string;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly allValue?: string;
  readonly definition?: string;
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

/** Every query of every dashboard in deploy/grafana. */
export function readPanelQueries(): readonly PanelQuery[] {
  return globSync('*.json', { cwd: dashboards })
    .sort()
    .flatMap((file) => {
      const { panels, templating } = JSON.parse(readFileSync(join(dashboards, file), 'utf8')) as Dashboard;
      return panels.flatMap(({ title, targets = [] }) =>
        targets.map(({ refId, expr }) => ({
          place: `${basename(file, '.json')}: ${title} (${refId})`,
          expression: fillIn(expr, templating.list),
        })),
      );
    });
}

/** A test does not last long: a minute holds all of it. */
const rateInterval = '1m';

function fillIn(expression: string, variables: readonly Variable[]): string {
  const chosen = new Map(variables.map(({ name, allValue = '.*' }) => [name, allValue]));
  return expression.replaceAll('$__rate_interval', rateInterval).replace(/\$(\w+)/g, (word, name: string) => {
    const value = chosen.get(name);
    if (value === undefined) throw new Error(`${word} is no variable of the dashboard: ${expression}`);
    return value;
  });
}

/** Whether an expression speaks of what only a cluster's member has. */
export function needsCluster({ expression }: PanelQuery): boolean {
  return /gantry_control_|gantry_agent_|gantry:|stack_service:|role="control"|service="control"/.test(
    expression,
  );
}

/** The queries that give nothing, or nothing but "not a number"; none when every panel shows something. */
export async function findEmptyPanels(
  prometheus: TestPrometheus,
  queries: readonly PanelQuery[],
): Promise<readonly string[]> {
  const answers = await prometheus.query(queries.map(({ expression }) => expression));
  return queries.flatMap(({ place, expression }, index) =>
    answers[index]?.some(({ value }) => !Number.isNaN(value)) === true ? [] : [`${place}: ${expression}`],
  );
}

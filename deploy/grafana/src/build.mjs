// Writes dashboards/*.json from their sources; with --check only says whether they are current.
//   node deploy/grafana/src/build.mjs [--check]
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import bus from './bus.mjs';
import cluster from './cluster.mjs';
import container from './container.mjs';
import control from './control.mjs';
import node from './node.mjs';
import service from './service.mjs';

export const dashboards = [cluster, node, service, container, control, bus];

const place = fileURLToPath(new URL('../dashboards/', import.meta.url));

/** Path and text of every file. */
export async function renderDashboards() {
  return Promise.all(
    dashboards.map(async (dashboard) => {
      const path = join(place, `${dashboard.uid.replace(/^gantry-/, '')}.json`);
      const options = { ...(await resolveConfig(path)), parser: 'json' };
      return { path, text: await format(JSON.stringify(dashboard), options) };
    }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(place, { recursive: true });
  for (const { path, text } of await renderDashboards()) {
    if (!process.argv.includes('--check')) writeFileSync(path, text);
    else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
      console.error(`${path} is not current: run node deploy/grafana/src/build.mjs`);
      process.exitCode = 1;
    }
  }
}

// Three hosts of the test harness for a person: shows a stack on them, then obeys lines like "kill host2" until Ctrl-C.
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { assertNothingLeft, eventually, TestCluster } from '@gantry/test-harness';
import { siteImage } from '../deploy/demo/dist/site.js';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Small programs that speak to one host each. */
const doors = join(root, 'build/cluster');
const stackFile = 'deploy/demo/compose.yaml';
const names = ['host1', 'host2', 'host3'];

const bold = (text) => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
const print = (text = '') => process.stdout.write(`${text}\n`);

/** Shows the command as a person would type it, and what it answers. */
async function show(cluster, title, ...words) {
  print(`\n${bold(title)}\n$ gantry ${words.join(' ')}`);
  const output = await cluster.host(0).must(...words);
  print(output);
  return output;
}

function writeDoor(name, lines) {
  const path = join(doors, name);
  writeFileSync(path, `#!/bin/sh\n${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
}

/** build/cluster/host2 is `gantry` on host2; build/cluster/lan runs a program on the network that the hosts are on. */
function writeDoors(cluster) {
  mkdirSync(doors, { recursive: true });
  for (const [index, name] of names.entries()) {
    const variables = Object.entries(cluster.host(index).environment).map(
      ([key, value]) => `${key}='${value}'`,
    );
    writeDoor(name, [`exec env ${variables.join(' ')} '${join(root, 'bin/gantry')}' "$@"`]);
  }
  writeDoor('lan', [`exec nsenter --net=${cluster.network.namespace.path} "$@"`]);
}

async function tour(cluster) {
  await show(cluster, 'The nodes', 'node', 'ls');
  await show(
    cluster,
    'A stack of two services',
    'stack',
    'deploy',
    '-c',
    stackFile,
    '--detach=false',
    'demo',
  );
  const services = await show(cluster, 'Its services', 'service', 'ls');
  if (!/demo_web .*3\/3/.test(services)) throw new Error('demo_web does not run on all three nodes');
  await show(cluster, 'Where its tasks run', 'stack', 'ps', 'demo');
  print(`\n${bold('The page, from every node')}`);
  for (const index of names.keys()) {
    const url = `http://${cluster.addressOf(index)}:8080/`;
    const page = await eventually(`${url} answers`, () => cluster.network.namespace.fetch(url));
    if (!page.includes('Hello from a container')) throw new Error(`${url} gave another page: ${page}`);
    print(`${url}  ${page.split('\n')[2]}`);
  }
}

function tell(cluster) {
  const door = relative(process.cwd(), doors);
  print(`\n${bold('In another terminal')}`);
  print(`  ${door}/host1 node ls                     gantry on that host; so ${door}/host2, ${door}/host3`);
  print(`  eval export GANTRY_HOST=${cluster.host(0).environment.GANTRY_HOST}    then bin/gantry is host1's`);
  print(`  ${door}/host1 service scale demo_clock=5`);
  print(`  ${door}/host1 service update --force demo_web`);
  print(`  ${door}/host1 service logs -f demo_clock`);
  print(`  ${door}/lan busybox wget -qO- http://${cluster.addressOf(1)}:8080/`);
  print(`\n${bold('Here')}`);
  print(
    '  kill host2    power off: every process, shim and container of it, and its cable; "back host2" ends it',
  );
  print('  stop host2    its gantryd alone dies: no container notices; "back host2" ends it');
  print('  cut host2     its cable is out; "mend host2" ends it');
  print('\nCtrl-C takes everything down');
}

const orders = {
  kill: (cluster, host) => cluster.killHost(host),
  stop: (cluster, host) => cluster.killGantryd(host),
  back: (cluster, host) => cluster.bringBack(host),
  cut: (cluster, host) => cluster.cutLink(host),
  mend: (cluster, host) => cluster.restoreLink(host),
};

async function obey(cluster, line) {
  const [order = '', name = ''] = line.trim().split(/\s+/);
  if (order === '') return;
  const host = names.indexOf(name);
  const act = Object.hasOwn(orders, order) ? orders[order] : undefined;
  if (act === undefined || host === -1) {
    print(`an order is one of ${Object.keys(orders).join(', ')} and one of ${names.join(', ')}`);
    return;
  }
  try {
    await act(cluster, host);
    print(`${order} ${name}: done`);
  } catch (error) {
    print(`${order} ${name}: ${error.message}`);
  }
}

/** Takes orders until a signal; the end of the input is none. */
async function play(cluster, interrupted) {
  const lines = createInterface({ input: process.stdin });
  let last = Promise.resolve();
  lines.on('line', (line) => (last = last.then(() => obey(cluster, line))));
  await interrupted;
  lines.close();
  await last;
}

/** As users do it where a node lives; resolves with whether nothing was left. */
async function takeDown(cluster) {
  let clean = true;
  for (const index of [...names.keys()].reverse()) {
    try {
      // What was killed and not brought back has nothing to stop.
      if (cluster.isAlive(index) && cluster.host(index).isRunning('gantryd'))
        assertNothingLeft(await cluster.host(index).stop(), cluster.host(index));
    } catch (error) {
      clean = false;
      print(`${names[index]}: ${error.message}`);
    }
  }
  await cluster.destroy();
  rmSync(doors, { recursive: true, force: true });
  return clean;
}

function waitForInterrupt() {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => resolve('interrupted'));
  });
}

async function main(words) {
  const wrong = words.filter((word) => word !== '--once');
  if (wrong.length > 0) {
    process.stderr.write(`cluster: unknown flag ${wrong.join(' ')}; there is only --once\n`);
    return 2;
  }
  const once = words.includes('--once');
  const interrupted = waitForInterrupt();
  const began = performance.now();
  const cluster = await TestCluster.form(['worker', 'worker'], { images: [siteImage()] });
  let failed;
  try {
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    print(bold(`Three nodes are one cluster after ${seconds} s: ${names.join(', ')}`));
    writeDoors(cluster);
    const ending = await Promise.race([interrupted, tour(cluster)]);
    if (ending !== 'interrupted' && !once) {
      tell(cluster);
      await play(cluster, interrupted);
    }
  } catch (error) {
    failed = error;
  }
  print('\ntaking everything down');
  const clean = await takeDown(cluster);
  if (failed !== undefined) throw failed;
  if (once) print(clean ? 'cluster: ok' : 'cluster: something was left');
  // Readers of the last line get it before the process ends.
  await sleep(0);
  return clean ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`cluster: ${error.stack}\n`);
  process.exitCode = 1;
}
process.exit();

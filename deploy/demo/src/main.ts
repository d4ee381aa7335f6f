import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DemoNode, gantry } from './demo-node.js';
import { writeArchive } from './oci-layout.js';
import { siteImage } from './site.js';

const publishedPort = 8088;
const bold = (text: string): string => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
const print = (text = ''): boolean => process.stdout.write(`${text}\n`);

/** Shows the command as a person would type it, and what it answers. */
async function show(title: string, ...words: readonly string[]): Promise<string> {
  const typed = words.map((word) => (/^[\w./:=@,-]+$/.test(word) ? word : `'${word}'`)).join(' ');
  print(`\n${bold(title)}\n$ gantry ${typed}`);
  const output = await gantry(...words);
  print(output.trimEnd());
  return output;
}

async function loadImage(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-demo-'));
  try {
    const archive = join(directory, 'site.tar');
    writeArchive(archive, [siteImage()]);
    await show('An image, made here from busybox as an OCI layout', 'load', '-i', archive);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The server needs a moment between its start and its first listen(2). */
async function fetchPage(url: string): Promise<string> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await (await fetch(url)).text();
    } catch (error) {
      if (tries > 50) throw error;
      await sleep(50);
    }
  }
}

async function tour(node: DemoNode): Promise<void> {
  const image = siteImage().reference;
  await loadImage();
  await show(
    'A web server with limits and a published port',
    ...['run', '-d', '--name', 'web', '--memory', '64m', '--cpus', '0.5', '--pids-limit', '32'],
    // As process 1 busybox httpd does not hear SIGTERM, and it has nothing to tidy up.
    ...['--stop-timeout', '1'],
    ...['-p', `${publishedPort}:80`, image],
  );
  print(`\n${bold(`The page, from this machine: http://127.0.0.1:${publishedPort}/`)}`);
  print((await fetchPage(`http://127.0.0.1:${publishedPort}/`)).trimEnd());
  const fetched = await show(
    'The page, from a second container that knows the first by its name',
    ...['run', '--rm', '--name', 'visitor', image, 'wget', '-q', '-O', '-', 'http://web/'],
  );
  if (!fetched.includes('Hello from a container'))
    throw new Error('the second container did not get the page');
  const computed = await show(
    'A one-shot that computes something',
    ...[
      'run',
      '--rm',
      image,
      'awk',
      'BEGIN { for (i = 1; i <= 1000000; i++) s += i; print "1 + 2 + ... + 1000000 =", s }',
    ],
  );
  if (!computed.includes('500000500000')) throw new Error('the one-shot did not compute');
  await show('What runs', 'ps', '-a');
  await show('What isolates it', 'explain', 'web');

  const { services } = node.readFacts();
  print(`\n${bold('Where to look')}`);
  print(
    `api      unix:${join(node.runDirectory, 'api.sock')}  (curl --unix-socket ${join(node.runDirectory, 'api.sock')} http://gantry/v1/openapi.json)`,
  );
  for (const service of services) print(`metrics  ${service.metrics_url}/metrics  ${service.name}`);
  print(`\n${bold('Try next, in another terminal')}`);
  for (const line of ['bin/gantry exec -it web sh', 'bin/gantry stats', 'bin/gantry logs -f web'])
    print(`  ${line}`);
}

function waitForInterrupt(): Promise<'interrupted'> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => resolve('interrupted'));
  });
}

async function main(words: readonly string[]): Promise<number> {
  const wrong = words.filter((word) => word !== '--once');
  if (wrong.length > 0) {
    process.stderr.write(`demo: unknown flag ${wrong.join(' ')}; there is only --once\n`);
    return 2;
  }
  const once = words.includes('--once');
  const started = performance.now();
  const interrupted = waitForInterrupt();
  const node = await DemoNode.start();
  print(
    `${bold('One node is up')} after ${((performance.now() - started) / 1000).toFixed(2)} s: ${node.readFacts().node_id}`,
  );
  let failure: Error | undefined;
  try {
    const ending = await Promise.race([tour(node).then(() => 'shown' as const), interrupted]);
    if (ending === 'shown' && !once) {
      print('\nCtrl-C takes everything down.');
      await Promise.race([interrupted, node.ended]);
    }
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
  }
  print('\ntaking everything down');
  const clean = await node.stop();
  if (failure !== undefined) throw failure;
  if (!clean) throw new Error('the node did not go down cleanly');
  if (once) print('demo: ok');
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeArchive } from '@gantry/demo';
import { BenchNode, boxImage } from './bench-node.js';
import { withCleanup, type Cleanup } from './cleanup.js';
import { makeLargeImage } from './large-image.js';
import { describeMachine, findMissingPrograms } from './machine.js';
import { parseOptions, usage, type Options } from './options.js';
import { Bundle } from './peers/bundle-runtimes.js';
import { measureNetavark } from './peers/netavark.js';
import { Podman } from './peers/podman.js';
import { pushLayout, startRegistry } from './registry.js';
import { formatDocument, formatTable, listUnmet, type Report } from './report.js';
import { findGaps, type Row } from './row.js';
import { measureCluster, readAlone } from './rows/cluster.js';
import { measureHundred } from './rows/hundred.js';
import { measureIdleNode } from './rows/idle-node.js';
import { measureOciRuntime } from './rows/oci-runtime.js';
import { measurePull, measureStartsDuringPull } from './rows/pull.js';
import { measureRunCommand } from './rows/run-command.js';
import { measureSandboxes } from './rows/sandbox.js';
import { measureShim } from './rows/shim.js';
import { measureSpawner } from './rows/spawner.js';
import { measureStarts } from './rows/start.js';
import type { NodeSession, Session } from './session.js';
import { formatStages, type StageTable } from './stage-table.js';
import { openWorkplace } from './workplace.js';

const began = performance.now();
const progress = (text: string): void => {
  process.stderr.write(`bench: ${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}\n`);
};

async function measureAll(cleanup: Cleanup, options: Options): Promise<Report> {
  const { repetitions, families } = options;
  const machine = await describeMachine();
  const rows: Row[] = [];
  const notes: string[] = [];
  const note = (sentence: string): void => void notes.push(sentence);
  let stages: StageTable | undefined;

  progress('peers');
  const workplace = await openWorkplace(cleanup);
  const podman = await Podman.open(cleanup, workplace);
  const archive = join(workplace.directory, 'box.tar');
  writeArchive(archive, [boxImage]);
  await podman.time(['load', '-q', '-i', archive]);
  const bundle = await Bundle.make(podman.world, workplace);
  const session: Session = { cleanup, workplace, repetitions, podman, bundle, note };

  if (families.includes('spawner')) {
    progress('the spawner alone');
    const figures = await measureSpawner(session);
    rows.push(...figures.rows);
    stages = figures.stages;
  }
  if (families.includes('oci-runtime')) {
    progress('gantry-oci');
    rows.push(...(await measureOciRuntime(session)));
  }
  if (families.includes('shim')) {
    progress('the shim');
    rows.push(...(await measureShim(session)));
  }
  if (families.includes('node')) rows.push(...(await measureNode(session)));
  return { rows, notes, stages, machine, date: new Date() };
}

/** What a node does, alone and as one of three. */
async function measureNode(session: Session): Promise<Row[]> {
  const { cleanup, workplace, repetitions, podman, note } = session;
  const { settleMs, sandboxes } = repetitions;
  const rows: Row[] = [];
  const netavark = await measureNetavark(podman.world, workplace, Math.min(sandboxes, 50));

  progress('a node of separate processes: idle');
  const separate = await BenchNode.start(cleanup, workplace, 'separate');
  rows.push(...(await measureIdleNode('separate', separate, podman, settleMs, note)));
  await separate.stop();

  progress('a node without a pool: sandboxes');
  const poolless = await BenchNode.start(cleanup, workplace, 'one-process', 0);
  rows.push(...(await measureSandboxes('cold', poolless, netavark, sandboxes)));
  await poolless.stop();

  progress('a node in one process: idle');
  const node = await BenchNode.start(cleanup, workplace, 'one-process');
  rows.push(...(await measureIdleNode('one-process', node, podman, settleMs, note)));
  const ofNode: NodeSession = { ...session, node };

  progress('starts');
  const starts = await measureStarts(ofNode);
  rows.push(...starts);
  progress('sandboxes from the pool');
  rows.push(...(await measureSandboxes('pool', node, netavark, sandboxes)));
  progress('run --rm');
  rows.push(...(await measureRunCommand(ofNode)));
  progress('a hundred');
  rows.push(...(await measureHundred(ofNode)));
  progress('the large image');
  const stopRegistry = await serveLargeImage(ofNode);
  progress('pulls');
  rows.push(...(await measurePull(ofNode)));
  progress('starts during a pull');
  const idle = starts.find(({ id }) => id === 'start-p50')?.value ?? Number.NaN;
  rows.push(...(await measureStartsDuringPull(ofNode, idle)));
  await stopRegistry();
  await node.stop();
  progress('three nodes');
  rows.push(...(await measureCluster(cleanup, workplace, repetitions, readAlone(rows), note)));
  return rows;
}

async function serveLargeImage({
  cleanup,
  workplace,
  podman,
  node,
  repetitions,
  note,
}: NodeSession): Promise<() => Promise<void>> {
  const image = await makeLargeImage(join(workplace.directory, 'large'), repetitions.imageFiles);
  await startRegistry(cleanup, workplace, podman.world);
  await pushLayout(podman.world, image.directory);
  const stop = await startRegistry(cleanup, workplace, node.node.network);
  note(
    `The large image: ${(image.compressedBytes / 1e6).toFixed(0)} MB compressed, ${(image.unpackedBytes / 1e6).toFixed(0)} MB of tar, ` +
      `${image.files} files, 4 layers.`,
  );
  return stop;
}

async function main(words: readonly string[]): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(words);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return 2;
  }
  if (process.getuid?.() !== 0) {
    console.error(
      'npm run bench needs root: containers are made of mounts, namespaces and cgroups (try: sudo npm run bench)',
    );
    return 1;
  }
  const lacking = findMissingPrograms();
  if (lacking.length > 0) {
    console.error(
      `not on this machine: ${lacking.join(', ')}; sh tools/install.sh build run test bench installs them`,
    );
    return 1;
  }

  const report = await withCleanup((cleanup) => measureAll(cleanup, options));
  console.log(`\n${formatTable(report.rows).join('\n')}\n`);
  if (report.stages !== undefined) console.log(`${formatStages(report.stages).join('\n')}\n`);
  for (const note of report.notes) console.log(note);
  for (const line of listUnmet(report.rows)) console.log(`NOT MET: ${line}`);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  const gaps = findGaps(report.rows, options.families);
  if (gaps.length > 0) {
    console.error(`not a whole table: ${gaps.join('; ')}`);
    return 1;
  }
  if (options.output !== undefined) {
    writeFileSync(options.output, formatDocument(report));
    console.log(`written: ${options.output}`);
  }
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}

// Runs lint, format check and all tests, group by group, and prints one table of totals.
// On a machine that can run a test, a skip is a failure: as root only skips that begin with
// "this machine cannot" (a kernel without the feature, say) are let through.
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { run } from 'node:test';
import { relative } from 'node:path';

const isRoot = process.getuid?.() === 0;
const allowedSkip = /^this machine cannot/;

const find = (pattern) => globSync(pattern, { exclude: (name) => name === 'node_modules' }).sort();
const compiled = ['packages/*', 'deploy/*', 'test/harness', 'test/bench'].flatMap((place) =>
  find(`${place}/dist/**/*.test.js`),
);

/** Tests of one group never disturb each other; groups run one after the other. */
const groups = [
  {
    name: 'structure',
    files: find('test/structure/**/*.test.mjs').concat(find('test/structure/dist/**/*.test.js')),
    concurrency: 2,
  },
  { name: 'unit', files: compiled.filter((file) => !file.endsWith('.root.test.js')), concurrency: 2 },
  { name: 'root', files: compiled.filter((file) => file.endsWith('.root.test.js')), concurrency: 2 },
  { name: 'e2e', files: find('test/e2e/dist/**/*.test.js'), concurrency: 2 },
  { name: 'conformance', files: find('test/conformance/dist/**/*.test.js'), concurrency: 2 },
  { name: 'graphs', files: find('test/graphs/dist/**/*.test.js'), concurrency: 1 },
  { name: 'chaos', files: find('test/chaos/dist/**/*.test.js'), concurrency: 1 },
  { name: 'cluster', files: find('test/cluster/dist/**/*.test.js'), concurrency: 1 },
  { name: 'vm', files: find('test/vm/dist/**/*.test.js'), concurrency: 2 },
  { name: 'package', files: find('test/package/dist/**/*.test.js'), concurrency: 1 },
];

const commands = [
  {
    name: 'lint',
    command: [
      'node',
      [
        'node_modules/eslint/bin/eslint.js',
        '--max-warnings',
        '0',
        '--cache',
        '--cache-location',
        'build/.eslintcache',
        '.',
      ],
    ],
  },
  {
    name: 'format',
    command: [
      'prettier',
      ['--check', '--log-level', 'warn', '--cache', '--cache-location', 'build/.prettiercache', '.'],
    ],
  },
];

function runCommand({ name, command: [program, commandArguments] }) {
  const started = performance.now();
  const result = spawnSync(program, commandArguments, { stdio: ['ignore', 'inherit', 'inherit'] });
  const failed = result.status === 0 ? 0 : 1;
  return { name, passed: 1 - failed, failed, skipped: 0, milliseconds: performance.now() - started };
}

function describeFailure(data) {
  const cause = data.details.error?.cause ?? data.details.error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return text
    .split('\n')
    .map((line) => `      ${line}`)
    .join('\n');
}

async function runGroup({ name, files, concurrency }) {
  const started = performance.now();
  const totals = { name, passed: 0, failed: 0, skipped: 0, milliseconds: 0 };
  if (files.length > 0) {
    console.log(`\n${name}: ${files.length} files`);
    const stream = run({ files, concurrency, timeout: 300_000 });
    const note = (text) => console.log(text);
    stream.on('test:pass', (data) => {
      // A file and a suite pass when their tests do: only tests are counted, and suites that are skipped whole.
      const isSkipped = data.skip !== undefined && data.skip !== false;
      if (data.file === undefined || data.name === data.file) return;
      if (data.details.type === 'suite' && !isSkipped) return;
      if (!isSkipped) {
        totals.passed += 1;
        if (data.details.duration_ms > 5_000) {
          note(`  slow  ${data.name} (${(data.details.duration_ms / 1000).toFixed(1)} s)`);
        }
        return;
      }
      const reason = String(data.skip);
      const refused = isRoot && !allowedSkip.test(reason);
      totals[refused ? 'failed' : 'skipped'] += 1;
      note(`  ${refused ? 'SKIP IS A FAILURE HERE' : 'SKIPPED'}  ${data.name}: ${reason}`);
    });
    stream.on('test:fail', (data) => {
      if (data.details.type === 'suite' && data.details.error?.failureType === 'subtestsFailed') return;
      if (data.details.error?.failureType === 'subtestsFailed') return;
      totals.failed += 1;
      note(`  FAIL  ${data.name}\n      ${relative('.', data.file ?? '')}\n${describeFailure(data)}`);
    });
    stream.on('test:stderr', (data) => process.stderr.write(data.message));
    stream.resume();
    await new Promise((resolve, reject) => stream.on('end', resolve).on('error', reject));
  }
  totals.milliseconds = performance.now() - started;
  return totals;
}

const asked = process.argv.slice(2);
const isAsked = ({ name }) => asked.length === 0 || asked.includes(name);
const unknown = asked.filter((name) => ![...commands, ...groups].some((one) => one.name === name));
if (unknown.length > 0) {
  console.error(
    `no test group ${unknown.join(', ')}: ${[...commands, ...groups].map((one) => one.name).join(' ')}`,
  );
  process.exit(2);
}

const rows = [];
for (const command of commands.filter(isAsked)) rows.push(runCommand(command));
for (const group of groups.filter(isAsked)) {
  if (group.files.length === 0) {
    console.log(`\n${group.name}: NO FILES`);
    if (asked.length > 0) rows.push({ name: group.name, passed: 0, failed: 1, skipped: 0, milliseconds: 0 });
    continue;
  }
  rows.push(await runGroup(group));
}

console.log('\n             passed  failed  skipped  seconds');
const sum = { name: 'all', passed: 0, failed: 0, skipped: 0, milliseconds: 0 };
for (const row of rows)
  for (const key of ['passed', 'failed', 'skipped', 'milliseconds']) sum[key] += row[key];
for (const row of [...rows, sum]) {
  const cells = [row.passed, row.failed, row.skipped].map((count) => String(count).padStart(8)).join('');
  console.log(`${row.name.padEnd(11)}${cells} ${(row.milliseconds / 1000).toFixed(1).padStart(8)}`);
}
if (!isRoot) console.log('\nNOT ROOT: what needs root was skipped');
process.exit(sum.failed === 0 ? 0 : 1);

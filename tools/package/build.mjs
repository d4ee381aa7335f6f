// Makes build/gantry_<version>_<architecture>.deb of what tools/build.sh has built. The same source gives the same bytes.
//   node tools/package/build.mjs [--fast] [--output FILE]     --fast: larger and sooner, for tests
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { contents } from './contents.mjs';

const staging = 'build/package';
const tree = join(staging, 'root');
const { fast, output: asked } = parseArgs({
  options: { fast: { type: 'boolean', default: false }, output: { type: 'string' } },
}).values;

const run = (program, words, options = {}) => execFileSync(program, words, { encoding: 'utf8', ...options });

/** The moment that the package says it is of: the commit's, so that the same source makes the same package. */
function sourceEpoch() {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) return Number(given);
  try {
    return Number(run('git', ['log', '-1', '--format=%ct'], { stdio: ['ignore', 'pipe', 'ignore'] }));
  } catch {
    // Not a checkout.
    return Math.floor(statSync('package.json').mtimeMs / 1000);
  }
}

function place(entry) {
  const path = join(tree, entry.path);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  if (entry.target !== undefined) return symlinkSync(entry.target, path);
  if (entry.from !== undefined) copyFileSync(entry.from, path);
  else writeFileSync(path, entry.content);
  chmodSync(path, entry.mode);
}

/** Symbols serve a debugger alone, and are a good part of Node. What a program exports to add-ons stays. */
function strip(paths) {
  run('strip', ['--strip-unneeded', ...paths]);
}

/** What the libraries that our files need are called in the Debian that they were built on. */
function libraryDependencies(paths) {
  const directory = join(staging, 'shlibdeps');
  mkdirSync(join(directory, 'debian'), { recursive: true });
  writeFileSync(join(directory, 'debian/control'), 'Source: gantry\n\nPackage: gantry\nArchitecture: any\n');
  const files = paths.map((path) => `-e${join('../../..', path)}`);
  const found = run('dpkg-shlibdeps', ['-O', ...files], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  rmSync(directory, { recursive: true });
  const line = /^shlibs:Depends=(.+)$/m.exec(found)?.[1];
  if (line === undefined) throw new Error(`dpkg-shlibdeps found no libraries: ${found}`);
  return line;
}

function writeControl(entries, release, elf) {
  const directory = join(tree, 'DEBIAN');
  mkdirSync(directory);
  const real = entries.filter((entry) => entry.target === undefined);
  const kib = real.reduce((sum, { path }) => sum + Math.ceil(statSync(join(tree, path)).size / 1024), 0);
  // In the order in which one service needs the other.
  const units = [
    'nats',
    'image-store',
    'network-manager',
    'cgroup-supervisor',
    'spawner',
    'node-agent',
    'control',
    'api',
  ];
  const values = {
    version: release.version,
    architecture: release.architecture,
    installedSize: kib,
    libraries: libraryDependencies(elf),
    units: ['gantry.service', ...units.map((name) => `gantry-${name}.service`)].join(' '),
  };
  for (const name of ['control', 'postinst', 'prerm', 'postrm']) {
    const text = readFileSync(join('deploy/debian', name), 'utf8').replaceAll(/@(\w+)@/g, (_all, key) => {
      if (values[key] === undefined) throw new Error(`deploy/debian/${name} asks for @${key}@`);
      return String(values[key]);
    });
    writeFileSync(join(directory, name), text);
    chmodSync(join(directory, name), name === 'control' ? 0o644 : 0o755);
  }
  const conffiles = real.filter(({ path }) => path.startsWith('etc/')).map(({ path }) => `/${path}\n`);
  writeFileSync(join(directory, 'conffiles'), conffiles.join(''));
  const sums = real
    .filter(({ path }) => !path.startsWith('etc/'))
    .map(
      ({ path }) =>
        `${createHash('md5')
          .update(readFileSync(join(tree, path)))
          .digest('hex')}  ${path}\n`,
    );
  writeFileSync(join(directory, 'md5sums'), sums.join(''));
}

/** All times are the release's, directories last: making a file touches them. */
function setTimes(path, epoch) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) {
    chmodSync(path, 0o755);
    for (const name of readdirSync(path)) setTimes(join(path, name), epoch);
  }
  lutimesSync(path, epoch, epoch);
}

process.umask(0o022);
rmSync(staging, { recursive: true, force: true });
const release = {
  version: JSON.parse(readFileSync('package.json', 'utf8')).version,
  architecture: run('dpkg', ['--print-architecture']).trim(),
  epoch: sourceEpoch(),
};
const entries = await contents(release);
for (const entry of entries) place(entry);
const elf = entries
  .filter(({ path }) => path.endsWith('.node') || path.endsWith('/lib/node'))
  .map(({ path }) => join(tree, path));
strip([
  ...elf,
  ...['gantry-shim', 'gantry-init'].map((name) => join(tree, 'usr/lib/gantry/build/native', name)),
]);
writeControl(entries, release, elf);
setTimes(tree, release.epoch);
const output = asked ?? `build/gantry_${release.version}_${release.architecture}.deb`;
run('dpkg-deb', ['--root-owner-group', '-Zzstd', `-z${fast ? 1 : 12}`, '--build', tree, `${output}.new`], {
  env: { ...process.env, SOURCE_DATE_EPOCH: String(release.epoch) },
});
run('mv', [`${output}.new`, output]);
rmSync(staging, { recursive: true });
process.stdout.write(`${output} (${(statSync(output).size / 1e6).toFixed(1)} MB)\n`);

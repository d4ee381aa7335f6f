// What is installed where: paths below the root of the machine, with the content or the file to copy.
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { exampleConfig } from './example-config.mjs';
import { copyrightFile } from './licences.mjs';
import { commandLineManual, daemonManual } from './manual.mjs';

const home = 'usr/lib/gantry';

/**
 * @typedef {{ path: string, mode: number } & ({ from: string } | { content: string | Buffer } | { target: string })} Entry
 * @typedef {{ version: string, epoch: number, architecture: string }} Release
 */

/** @param {Release} release @returns {Promise<Entry[]>} */
export async function contents(release) {
  const nodePackage = nodePackageOf(release.architecture);
  const date = new Date(release.epoch * 1000).toISOString().slice(0, 10);
  return [
    program(`${home}/bin/gantry`, { from: 'bin/gantry' }),
    program(`${home}/bin/gantryd`, { from: 'bin/gantryd' }),
    program(`${home}/bin/gantry-oci`, { from: 'bin/gantry-oci' }),
    program(`${home}/lib/node`, { from: join(nodePackage, 'bin/node') }),
    ...globSync('build/gantry/*.cjs').map((from) => file(`${home}/${from}`, { from })),
    ...globSync('build/gantry-oci/*.cjs').map((from) => file(`${home}/${from}`, { from })),
    ...bundleFiles('build/gantryd').map((from) => file(`${home}/${from}`, { from })),
    ...globSync('build/native/*.node').map((from) => file(`${home}/${from}`, { from })),
    ...['gantry-shim', 'gantry-init'].map((name) =>
      program(`${home}/build/native/${name}`, { from: `build/native/${name}` }),
    ),
    link('usr/bin/gantry', '../lib/gantry/bin/gantry'),
    link('usr/bin/gantryd', '../lib/gantry/bin/gantryd'),
    link('usr/bin/gantry-oci', '../lib/gantry/bin/gantry-oci'),
    ...globSync('deploy/systemd/*.{service,target,slice}').map((from) =>
      file(`usr/lib/systemd/system/${basename(from)}`, { from }),
    ),
    file('etc/gantry/gantry.yaml', { content: exampleConfig() }),
    file('usr/share/man/man1/gantry.1.gz', {
      content: packed(await commandLineManual({ ...release, date })),
    }),
    file('usr/share/man/man8/gantryd.8.gz', { content: packed(daemonManual({ ...release, date })) }),
    file('usr/share/bash-completion/completions/gantry', { content: completion('bash') }),
    // Loaded at the first completion, as the body of the function that it then defines: so it has to be called too.
    file('usr/share/zsh/vendor-completions/_gantry', {
      content: `${completion('zsh')}if [ "$funcstack[1]" = _gantry ]; then _gantry "$@"; fi\n`,
    }),
    file('usr/share/fish/vendor_completions.d/gantry.fish', { content: completion('fish') }),
    file('usr/share/doc/gantry/copyright', {
      content: copyrightFile(readFileSync(join(nodePackage, 'LICENSE'), 'utf8').trim()),
    }),
    file('usr/share/doc/gantry/changelog.gz', { content: packed(readFileSync('CHANGELOG.md')) }),
    file('usr/share/doc/gantry/changelog.Debian.gz', { content: packed(debianChangelog(release)) }),
  ].sort((a, b) => (a.path < b.path ? -1 : 1));
}

const file = (path, what) => ({ path, mode: 0o644, ...what });
const program = (path, what) => ({ path, mode: 0o755, ...what });
const link = (path, target) => ({ path, mode: 0o777, target });
const packed = (content) => gzipSync(content, { level: 9 });
const completion = (shell) => execFileSync('bin/gantry', ['completion', shell], { encoding: 'utf8' });

/** npm's Node for this machine; it is the one that the bundles were tried with. */
function nodePackageOf(architecture) {
  const directory = `node_modules/node-linux-${architecture === 'amd64' ? 'x64' : architecture}`;
  if (!existsSync(join(directory, 'bin/node')))
    throw new Error(`${directory} is not there: is there a Node for ${architecture} in package.json?`);
  return directory;
}

/** The bundle's first file and the chunks that can be reached from it: chunks of earlier builds lie beside them. */
function bundleFiles(directory) {
  const chunks = readdirSync(join(directory, 'chunks'));
  const reached = new Set();
  const queue = ['gantryd.mjs'];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (reached.has(name)) continue;
    reached.add(name);
    const text = readFileSync(join(directory, name), 'utf8');
    queue.push(...chunks.filter((chunk) => text.includes(chunk)).map((chunk) => `chunks/${chunk}`));
  }
  return [...reached].map((name) => join(directory, name));
}

function debianChangelog({ version, epoch }) {
  const day = new Date(epoch * 1000).toUTCString().replace('GMT', '+0000');
  return [
    `gantry (${version}) unstable; urgency=medium`,
    '',
    '  * Release; /usr/share/doc/gantry/changelog.gz says what is new.',
    '',
    ` -- The Gantry authors <gantry@gantry.invalid>  ${day}`,
    '',
  ].join('\n');
}

// The copyright file: Gantry's licence, Node's, and those of every npm package that the bundles hold.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** The programs that are bundled: what they depend on at run time, however deep, is what may be inside. */
const programs = ['packages/cli', 'packages/gantryd'];

/** @returns {{ name: string, version: string, licence: string, text: string }[]} by name and version */
export function bundledPackages() {
  const found = new Map();
  const queue = programs.flatMap((directory) =>
    dependenciesOf(directory).map((name) => ({ name, from: directory })),
  );
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const directory = resolvePackage(next.name, next.from);
    if (found.has(directory)) continue;
    const { name, version, license } = readManifest(directory);
    found.set(directory, { name, version, licence: licenceName(license), text: licenceText(directory) });
    queue.push(...dependenciesOf(directory).map((inner) => ({ name: inner, from: directory })));
  }
  return [...found.values()]
    .filter(({ name }) => !name.startsWith('@gantry/'))
    .sort((a, b) => `${a.name}@${a.version}`.localeCompare(`${b.name}@${b.version}`, 'en'));
}

const readManifest = (directory) => JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
const dependenciesOf = (directory) => Object.keys(readManifest(directory).dependencies ?? {});
const licenceName = (license) => (typeof license === 'string' ? license : (license?.type ?? 'unknown'));

/** Where Node would find it: in the nearest node_modules upwards. */
function resolvePackage(name, from) {
  for (let at = from; ; at = join(at, '..')) {
    const candidate = join(at, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (at === '.' || at === '/') throw new Error(`${from} depends on ${name}, which is not installed`);
  }
}

function licenceText(directory) {
  const file = readdirSync(directory).find((name) => /^(licen[cs]e|copying)(\.\w+)?$/i.test(name));
  return file === undefined ? '' : readFileSync(join(directory, file), 'utf8').trim();
}

/** /usr/share/doc/gantry/copyright. @param {string} nodeLicence the text of Node's own */
export function copyrightFile(nodeLicence) {
  const parts = [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/',
    'Upstream-Name: gantry',
    'Comment: build/gantry and build/gantryd are bundles, which hold the npm packages named below; lib/node is Node.js.',
    '',
    'Files: *',
    'Copyright: the Gantry authors',
    'License: Apache-2.0',
    ' On Debian systems the text of this licence is in /usr/share/common-licenses/Apache-2.0.',
    '',
    'Files: usr/lib/gantry/lib/node',
    'Copyright: Node.js contributors, and others as told in the text',
    'License: Node.js',
    indented(nodeLicence),
  ];
  for (const { name, version, licence, text } of bundledPackages())
    parts.push(
      '',
      `Files: usr/lib/gantry/build/*`,
      `Comment: npm package ${name} ${version}`,
      `Copyright: ${copyrightLine(text) ?? `the authors of ${name}`}`,
      `License: ${licence.replaceAll(/[()]/g, '')}`,
      indented(text === '' ? `The package holds no text of its licence but its name, ${licence}.` : text),
    );
  return `${parts.join('\n')}\n`;
}

const copyrightLine = (text) =>
  text
    .split('\n')
    .find((line) => /^\s*copyright\s/i.test(line))
    ?.trim()
    .replace(/^copyright\s*/i, '');

/** A field's further lines begin with a blank; an empty one is a dot. */
const indented = (text) =>
  text
    .split('\n')
    .map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`))
    .join('\n');

import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { readProjects, root } from './projects.mjs';

const projects = readProjects();
/** A file of about this many lines still tells one story; beyond the second number it is surely two. */
const comfortableLines = 400;
const mostLines = 600;
/** Names that say nothing of what is inside. */
const emptyNames = /^(utils?|helpers?|common|misc|shared|lib|stuff|tools?)$/;

const sources = globSync('{packages,deploy,test}/**/*.{ts,mjs,c,cc,h}', {
  cwd: root,
  exclude: (name) => /(^|\/)(node_modules|dist|build|generated)$/.test(name),
}).sort();

test('every package has a README with a drawing', () => {
  const lacking = projects.flatMap(({ directory }) => {
    const path = join(root, directory, 'README.md');
    if (!existsSync(path)) return [`${directory} has no README.md`];
    // An arrow, a branch or a box inside a code block.
    const blocks = [...readFileSync(path, 'utf8').matchAll(/^```[^\n]*\n(.*?)^```/gms)].map(
      (match) => match[1],
    );
    return blocks.some((block) => /->|──|─>|→|\+--|│|[|]\s*$/m.test(block))
      ? []
      : [`${directory}/README.md has no drawing`];
  });
  assert.equal(lacking.join('\n'), '');
});

test('every service has the same inside', () => {
  const lacking = projects
    .filter(({ kind }) => kind === 'service')
    .flatMap(({ directory, files }) =>
      ['main', 'service', 'config', 'metrics', 'index']
        .map((name) => `${directory}/src/${name}.ts`)
        .filter((file) => !files.includes(file)),
    );
  assert.equal(lacking.map((file) => `${file} is missing`).join('\n'), '');
});

test('names say what is inside', () => {
  const empty = sources.filter((file) => {
    const [place, ...rest] = file.split('/').slice(1);
    return [place, ...rest].some((part) =>
      emptyNames.test(basename(part).replace(/(\.test|\.root\.test)?\.\w+$/, '')),
    );
  });
  assert.equal(empty.join('\n'), '');
});

test('no file grows past what one can keep in mind', (context) => {
  const sizes = sources.map((file) => ({
    file,
    lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1,
  }));
  for (const { file, lines } of sizes)
    if (lines > comfortableLines) context.diagnostic(`${file} has ${lines} lines: is it two ideas?`);
  const tooLong = sizes.filter(({ lines }) => lines > mostLines);
  assert.equal(tooLong.map(({ file, lines }) => `${file} has ${lines} lines`).join('\n'), '');
});

test('every package is built by the root tsconfig.json and read by the structure tests', () => {
  const { references } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'));
  const built = new Set(references.map(({ path }) => path));
  const left = projects.filter(({ directory, files }) => files.length > 0 && !built.has(directory));
  assert.equal(left.map(({ directory }) => `tsconfig.json does not refer to ${directory}`).join('\n'), '');
});

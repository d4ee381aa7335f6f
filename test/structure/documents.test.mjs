import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { root } from './projects.mjs';

const documents = globSync('{*.md,docs/**/*.md,packages/*/**/*.md,deploy/**/*.md,test/**/*.md}', {
  cwd: root,
  exclude: (name) => /(^|\/)(node_modules|dist|build)$/.test(name),
}).sort();

test('every link from one document to another file leads somewhere', () => {
  const broken = documents.flatMap((document) => {
    const text = readFileSync(join(root, document), 'utf8').replace(/^```.*?^```/gms, '');
    return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1].replace(/#.*$/, ''))
      .filter((target) => target !== '' && !/^[a-z]+:/.test(target))
      .filter((target) => !existsSync(resolve(root, dirname(document), target)))
      .map((target) => `${document} links to ${relative(root, resolve(root, dirname(document), target))}`);
  });
  assert.equal(broken.join('\n'), '');
});

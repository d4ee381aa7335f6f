// Makes one file each of the command line and of gantryd: starting from one file is several times faster than
// from hundreds. Native add-ons stay beside, in build/native.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { build } from 'esbuild';

// Bundled CommonJS packages call require(), which ES modules lack.
const banner = [
  "import { createRequire as gantryCreateRequire } from 'node:module';",
  'const require = gantryCreateRequire(import.meta.url);',
].join(' ');

/** @type {readonly { entry: string, output: string }[]} */
const bundles = [
  { entry: 'packages/cli/dist/main.js', output: 'build/gantry/gantry.mjs' },
  { entry: 'packages/gantryd/dist/main.js', output: 'build/gantryd/gantryd.mjs' },
];

/** Replaces the file only when its content differs, and never leaves half of it. */
function replaceFile(path, content) {
  try {
    if (readFileSync(path).equals(content)) return;
  } catch {
    // not there yet
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}

for (const { entry, output } of bundles) {
  const result = await build({
    entryPoints: [entry],
    outfile: output,
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    logLevel: 'warning',
    banner: { js: banner },
  });
  for (const file of result.outputFiles) replaceFile(file.path, Buffer.from(file.contents));
}

// Makes one file each of the command lines and of gantryd: starting from one file is several times faster than
// from hundreds. Native add-ons stay beside, in build/native.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { build } from 'esbuild';
import { bundleCommandLines } from './bundle-command-line.mjs';

// Bundled CommonJS packages call require(), which ES modules lack.
const banner = [
  "import { createRequire as gantryCreateRequire } from 'node:module';",
  'const require = gantryCreateRequire(import.meta.url);',
].join(' ');

/**
 * Every entry becomes <directory>/<name>.mjs; what it imports when needed becomes chunks beside it.
 * @type {readonly { entry: string, directory: string, name: string }[]}
 */
const bundles = [{ entry: 'packages/gantryd/dist/main.js', directory: 'build/gantryd', name: 'gantryd' }];

/** Gantry's own modules do nothing when imported: a package's face may be taken apart, so that asking a service for its
 * configuration schema does not load the service. */
const ownModulesAreInert = {
  name: 'own-modules-are-inert',
  setup(builder) {
    builder.onResolve({ filter: /^@gantry\// }, async ({ path, kind, resolveDir, pluginData }) => {
      if (pluginData === 'resolved') return undefined;
      const resolved = await builder.resolve(path, { kind, resolveDir, pluginData: 'resolved' });
      return { ...resolved, sideEffects: false, pluginData: undefined };
    });
  },
};

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

/** Chunks of earlier builds; those of the last hour stay, for a gantryd that is starting from them. */
function removeOldChunks(directory, current) {
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const path = join(directory, name);
    if (!current.has(name) && Date.now() - statSync(path).mtimeMs > 3_600_000) rmSync(path);
  }
}

for (const { entry, directory, name } of bundles) {
  const result = await build({
    entryPoints: { [name]: entry },
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunks/[name]-[hash]',
    splitting: true,
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
    plugins: [ownModulesAreInert],
  });
  for (const file of result.outputFiles) replaceFile(file.path, Buffer.from(file.contents));
  removeOldChunks(join(directory, 'chunks'), new Set(result.outputFiles.map((file) => basename(file.path))));
}
await bundleCommandLines(replaceFile, ownModulesAreInert);

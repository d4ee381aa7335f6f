// The command lines as CommonJS: Node starts that a third faster than ES modules, and they are started for every verb.
// A small first file loads the rest together with V8's compiled code for it, which is kept beside it.
import { createHash } from 'node:crypto';
import { build } from 'esbuild';

const options = {
  bundle: true,
  write: false,
  platform: 'node',
  format: 'cjs',
  target: 'node24',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
  // CommonJS knows its place by another name.
  define: { 'import.meta.url': 'gantryFileUrl' },
  // import() becomes require(), evaluated when it is reached.
  supported: { 'dynamic-import': false },
};
const knowsItsPlace = { js: "var gantryFileUrl = require('node:url').pathToFileURL(__filename).href;" };

const restApart = {
  name: 'rest-apart',
  setup(builder) {
    builder.onResolve({ filter: /^\.\/program\.js$/ }, () => ({ path: './program.cjs', external: true }));
  },
};

// Commander needs it only for verbs that are programs of their own, of which there are none here.
const processesWhenNeeded = {
  name: 'processes-when-needed',
  setup(builder) {
    builder.onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
      importer.includes('/commander/') ? { path: 'child_process', namespace: 'when-needed' } : undefined,
    );
    builder.onLoad({ filter: /.*/, namespace: 'when-needed' }, ({ path }) => ({
      contents: `module.exports = { spawn: (...words) => process.getBuiltinModule('node:${path}').spawn(...words) };`,
    }));
  },
};

/**
 * What lives in src/main.ts and src/program.ts of each becomes build/<name>/<name>.cjs and program.cjs.
 *
 * @param {(path: string, content: Buffer) => void} replaceFile
 * @param {import('esbuild').Plugin} ownModulesAreInert
 */
export async function bundleCommandLines(replaceFile, ownModulesAreInert) {
  const bundle = async (source, outfile, more) => {
    const all = { ...options, entryPoints: [source], outfile, ...more };
    const { outputFiles } = await build(all);
    for (const file of outputFiles) replaceFile(file.path, Buffer.from(file.contents));
    return outputFiles[0].contents;
  };
  await bundle('packages/cli/dist/main.js', 'build/gantry/gantry.cjs', {
    banner: knowsItsPlace,
    plugins: [restApart],
  });
  await bundle('packages/cli/dist/program.js', 'build/gantry/program.cjs', {
    banner: knowsItsPlace,
    plugins: [processesWhenNeeded, ownModulesAreInert],
  });
  // One function, evaluated by compiled-code.ts of the package, which takes its code from where it was kept.
  const program = await bundle('packages/oci-runtime/dist/program.js', 'build/gantry-oci/program.cjs', {
    banner: {
      js: '(function(require,module){"use strict";var exports=module.exports,gantryFileUrl="file://"+module.filename;',
    },
    footer: { js: '})' },
    plugins: [ownModulesAreInert],
  });
  const digest = createHash('sha256').update(program).digest('hex').slice(0, 16);
  await bundle('packages/oci-runtime/dist/main.js', 'build/gantry-oci/gantry-oci.cjs', {
    define: { gantryProgramDigest: JSON.stringify(digest) },
    plugins: [restApart],
  });
}

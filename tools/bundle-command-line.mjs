// The command lines as CommonJS: Node starts that a third faster than ES modules, and they are started for every verb.
// A small first file switches V8's code cache on (kept beside it), then loads the rest.
import { build } from 'esbuild';

/** What lives in src/main.ts and src/program.ts of each becomes build/<name>/<name>.cjs and program.cjs. */
const commandLines = [
  { name: 'gantry', source: 'packages/cli' },
  { name: 'gantry-oci', source: 'packages/oci-runtime' },
];

/**
 * @param {(path: string, content: Buffer) => void} replaceFile
 * @param {import('esbuild').Plugin} ownModulesAreInert
 */
export async function bundleCommandLines(replaceFile, ownModulesAreInert) {
  for (const commandLine of commandLines) await bundleOne(commandLine, replaceFile, ownModulesAreInert);
}

async function bundleOne({ name, source }, replaceFile, ownModulesAreInert) {
  const directory = `build/${name}`;
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
    banner: { js: "var gantryFileUrl = require('node:url').pathToFileURL(__filename).href;" },
    // import() becomes require(), evaluated when it is reached.
    supported: { 'dynamic-import': false },
  };
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
  const first = {
    entryPoints: [`${source}/dist/main.js`],
    outfile: `${directory}/${name}.cjs`,
    plugins: [restApart],
  };
  const rest = {
    entryPoints: [`${source}/dist/program.js`],
    outfile: `${directory}/program.cjs`,
    plugins: [processesWhenNeeded, ownModulesAreInert],
  };
  for (const one of [first, rest]) {
    const { outputFiles } = await build({ ...options, ...one });
    for (const file of outputFiles) replaceFile(file.path, Buffer.from(file.contents));
  }
}

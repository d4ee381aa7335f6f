// The command line as CommonJS: Node starts that a third faster than ES modules, and this is started for every verb.
// A small first file switches V8's code cache on (kept beside it), then loads the rest.
import { build } from 'esbuild';

const directory = 'build/gantry';

/** @param {(path: string, content: Buffer) => void} replaceFile */
export async function bundleCommandLine(replaceFile) {
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
    entryPoints: ['packages/cli/dist/main.js'],
    outfile: `${directory}/gantry.cjs`,
    plugins: [restApart],
  };
  const rest = {
    entryPoints: ['packages/cli/dist/program.js'],
    outfile: `${directory}/program.cjs`,
    plugins: [processesWhenNeeded],
  };
  for (const one of [first, rest]) {
    const { outputFiles } = await build({ ...options, ...one });
    for (const file of outputFiles) replaceFile(file.path, Buffer.from(file.contents));
  }
}

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
  const first = {
    entryPoints: ['packages/cli/dist/main.js'],
    outfile: `${directory}/gantry.cjs`,
    plugins: [restApart],
  };
  const rest = { entryPoints: ['packages/cli/dist/program.js'], outfile: `${directory}/program.cjs` };
  for (const one of [first, rest]) {
    const { outputFiles } = await build({ ...options, ...one });
    for (const file of outputFiles) replaceFile(file.path, Buffer.from(file.contents));
  }
}

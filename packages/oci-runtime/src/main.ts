import { dirname, join } from 'node:path';
import { compileProgram, type CompiledProgram } from './compiled-code.js';
import { versionText } from './version.js';

/** Put in by tools/bundle-command-line.mjs: a digest of program.cjs. */
declare const gantryProgramDigest: string;

/** What program.ts exports, as far as it is called here. */
interface Program {
  readonly runCommandLine: (argv: readonly string[]) => Promise<number>;
  readonly leave: (code: number) => never;
}

const kinds =
  /^(?:create|start|run|exec|kill|delete|state|list|ps|pause|resume|update|events|features|spec)$/;

/** As one file: its code lies compiled beside it, and the native code is found from it. */
function openBundle(directory: string, words: readonly string[]): CompiledProgram {
  process.env.GANTRY_NATIVE_DIR ??= join(directory, '../native');
  // A word that only looks like a verb (`--root state run`) is as good a kind.
  const kind = words.find((word) => kinds.test(word)) ?? 'none';
  const path = join(directory, 'program.cjs');
  return compileProgram(path, join(directory, 'compiled'), gantryProgramDigest, kind);
}

async function main(): Promise<void> {
  const words = process.argv.slice(2);
  // The question engines ask at every start of theirs.
  if (words.length === 1 && (words[0] === '--version' || words[0] === '-v')) {
    process.stdout.write(versionText());
    return;
  }
  const entry = process.argv[1] ?? '';
  if (!entry.endsWith('.cjs')) {
    const { runCommandLine } = await import('./program.js');
    process.exit(await runCommandLine(words));
  }
  const bundle = openBundle(dirname(entry), words);
  const program = { exports: {} as Program, filename: entry };
  (bundle.evaluate() as (load: typeof require, into: typeof program) => void)(require, program);
  const code = await program.exports.runCommandLine(words);
  if (code === 0) bundle.learn();
  program.exports.leave(code);
}

void main();

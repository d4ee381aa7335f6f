import { enableCompileCache } from 'node:module';
import { dirname } from 'node:path';
import { endWhenNobodyReads, finishWriting } from './output/print.js';
import { version } from './version.js';

/** The most asked of all questions needs nothing but the answer. */
function isVersionAsked(words: readonly string[]): boolean {
  return words.length === 1 && words[0] === '--version';
}

/** V8 keeps the compiled bundle beside it, where only its owner can write. */
function keepCompiledCode(): void {
  const bundle = process.argv[1] ?? '';
  if (bundle.endsWith('.cjs')) enableCompileCache(`${dirname(bundle)}/compiled`);
}

async function main(): Promise<void> {
  const words = process.argv.slice(2);
  if (isVersionAsked(words)) {
    process.stdout.write(`${version}\n`);
    return;
  }
  keepCompiledCode();
  endWhenNobodyReads();
  const { runCommandLine } = await import('./program.js');
  const code = await runCommandLine(words, process.env);
  await finishWriting();
  // Input that nobody will read, or a connection of no more use, must not keep the command alive.
  process.exit(code);
}

void main();

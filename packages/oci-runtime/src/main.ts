import { enableCompileCache } from 'node:module';
import { dirname, join } from 'node:path';
import { versionText } from './version.js';

/** As one file, V8's compiled code is kept beside it (only its owner can write there), and the native code is found from it. */
function prepareBundle(): void {
  const bundle = process.argv[1] ?? '';
  if (!bundle.endsWith('.cjs')) return;
  const directory = dirname(bundle);
  enableCompileCache(join(directory, 'compiled'));
  process.env.GANTRY_NATIVE_DIR ??= join(directory, '../native');
}

async function main(): Promise<void> {
  const words = process.argv.slice(2);
  // The question engines ask at every start of theirs.
  if (words.length === 1 && (words[0] === '--version' || words[0] === '-v')) {
    process.stdout.write(versionText());
    return;
  }
  prepareBundle();
  const { runCommandLine } = await import('./program.js');
  // At once: a socket that is still open must not keep us, and what was written was written synchronously.
  process.exit(await runCommandLine(words));
}

void main();

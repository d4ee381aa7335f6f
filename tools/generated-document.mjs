// One document below docs/ that a tool writes from what the code says.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';

/** The document's path, its text as it is committed (empty when there is none), and how its text is formatted. */
export function generatedDocument(name) {
  const path = fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
  return {
    name,
    path,
    read: () => (existsSync(path) ? readFileSync(path, 'utf8') : ''),
    format: async (text) => format(text, { ...(await resolveConfig(path)), parser: 'markdown' }),
  };
}

/** Writes the document when the tool is what was started; with --check only says whether it is current. */
export async function writeWhenStarted(document, toolUrl, render) {
  const tool = fileURLToPath(toolUrl);
  if (process.argv[1] !== tool) return;
  const text = await render();
  if (!process.argv.includes('--check')) writeFileSync(document.path, text);
  else if (text !== document.read()) {
    console.error(`docs/${document.name} is not current: run node tools/${tool.split('/').at(-1)}`);
    process.exitCode = 1;
  }
}
